"""What the sources share."""
