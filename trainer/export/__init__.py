"""The exported SavedModel and its signatures."""
