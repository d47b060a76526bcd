"""LiteConverter: TensorFlow Lite models."""
