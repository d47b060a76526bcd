"""Predictions of models on the test split, computed once and stored."""
