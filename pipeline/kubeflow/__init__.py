"""Kubeflow Pipelines 2: the client of its API."""
