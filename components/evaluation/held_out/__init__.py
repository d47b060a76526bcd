"""HeldOutFilter: the test images that no model was trained on."""
