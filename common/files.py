"""Files: sizes and digests."""

MEGABYTE = 10**6  # bytes, as limits and messages count them
