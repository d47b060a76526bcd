"""What is recorded of a run, and its views on the console."""
