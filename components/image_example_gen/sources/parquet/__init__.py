"""Images in Parquet files, which a subprocess with limits reads."""
