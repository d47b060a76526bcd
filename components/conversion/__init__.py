"""Converter: models in other formats, and their accuracy compared with the SavedModel."""
