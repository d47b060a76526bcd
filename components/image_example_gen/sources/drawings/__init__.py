"""Labelled cat and dog drawings, made on the spot: a data set that needs no download."""
