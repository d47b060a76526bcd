"""How far images are from those before, and splits from one another."""
