"""Renders reports as HTML: tables, plots, model card."""
