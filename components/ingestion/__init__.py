"""What happens to each image on its way to a record: checked, measured, compared, set aside."""
