"""Custom TFX components and the sources of images."""
