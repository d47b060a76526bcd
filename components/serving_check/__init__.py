"""ServingCheck: loads a SavedModel in a subprocess, sends requests and measures."""
