"""The model registry: pushed models, manual overrides, lineage, gate history."""
