"""Metrics on the test split: counts in TFMA, then estimates and curves."""
