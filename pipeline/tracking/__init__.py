"""Logs completed runs to MLflow."""
