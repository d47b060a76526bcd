"""Figures of a training."""
