"""Shared by all packages: errors, StrictModel, console, artifact paths, ML Metadata queries."""
