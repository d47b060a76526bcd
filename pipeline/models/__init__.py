"""Pushed models: versions, manual overrides, lineage, and the files that they need."""
