"""Images in TFRecord files."""
