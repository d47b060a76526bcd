"""Predictions for images given on the command line."""
