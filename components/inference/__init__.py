"""Predictions for unlabelled images."""
