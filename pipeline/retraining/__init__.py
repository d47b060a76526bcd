"""Scheduled retraining: the decision, one tick, the local schedule."""
