"""The configuration: a recipe and its parts."""
