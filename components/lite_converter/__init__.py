"""LiteConverter: TensorFlow Lite models and their accuracy."""
