"""Sources for images in TFRecord files."""
