"""Limits of the work that decoding an image takes, for ingestion and the serving graph.

A decoder does as much work as a file asks for, so the limits are compared with the headers before.
"""

MEGAPIXELS = 64  # default of `data.checks.max_megapixels`
# Memory for decoding the images of all threads at once, 10^6 bytes, with the default of
# `max_megapixels`: 64 megapixels of a JPEG that is kept, 59 if it is progressive, 46 of most images
# that are converted, 30 of a TIFF, 24 of an AVIF or HEIC, 23 of a WebP or progressive CMYK JPEG.
DECODING_MEGABYTES = 370
# Each scan of a JPEG visits all pixels again: about 0.7 ms per megapixel. Encoders write up to 20
# scans in progressive files, and many images of the largest size have at most 10.
SCANS = 100
FULL_SCANS = 16  # limit of an image of the largest size; inversely proportional to the pixels
# Parts that are read one after the other before the picture is decoded: segments of a JPEG, chunks
# of a PNG (often one for 8 KB of pixels) and blocks of a GIF.
SEGMENTS, PARTS = 1000, 100_000
# Compressed texts and profiles of a PNG: libpng decompresses up to 8 MB of each.
COMPRESSED_TEXTS = 20
