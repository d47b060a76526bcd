"""Predictions for images without labels, for `predict`, for servers and in each run."""
