"""Generates labelled drawings of cats and dogs, a data set without a download."""
