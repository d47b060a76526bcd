"""Images in zip and tar archives, local or from the web."""
