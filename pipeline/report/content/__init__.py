"""Reads the data of a report from the artifacts of a run."""
