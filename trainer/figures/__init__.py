"""Figures of a training: curves, image grids and a network diagram."""
