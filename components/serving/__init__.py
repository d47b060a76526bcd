"""Whether a model serves: what is asked of a SavedModel in a process of its own."""
