"""Images in a folder with one folder per class."""
