"""Metrics on the test split: counts by TFMA, estimates and curves from the counts."""
