"""Draws the page of a run: tables, plots, model card."""
