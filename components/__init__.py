"""Custom TFX components and image sources."""
