"""Logs completed runs for TensorBoard and MLflow."""
