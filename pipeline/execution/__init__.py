"""Runs single nodes with TFX's launcher, and reads their results."""
