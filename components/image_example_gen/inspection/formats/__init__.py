"""The image formats that are taken: what a file is, and what its header says of the picture."""
