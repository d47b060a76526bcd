"""Kubeflow Pipelines: what a cluster is told, and what runs in its containers."""
