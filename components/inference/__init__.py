"""Answers for a folder of images that nobody has labelled."""
