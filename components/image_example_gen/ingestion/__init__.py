"""Writes the records of a span: inspection, splits, duplicates, quarantine."""
