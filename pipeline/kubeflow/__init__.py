"""Kubeflow Pipelines: the compiler, the client, and the entry point of its containers."""
