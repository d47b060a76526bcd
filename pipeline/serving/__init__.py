"""Serves the live model over HTTP, with the REST API of TensorFlow Serving."""
