"""SavedModel export: signatures, Grad-CAM and warm-up requests."""
