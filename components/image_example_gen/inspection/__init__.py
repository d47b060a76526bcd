"""Checks, decodes and measures one image."""
