"""Source for images in Parquet files."""
