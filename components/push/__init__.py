"""The folder that a model server watches: versions come whole, rise, and can be taken back."""
