"""Launches single nodes with TFX, and reads their results."""
