"""Limits of the work that decoding an image takes in the serving graph.

A decoder does as much work as a file asks for, so the limits are compared with the headers before.
Ingestion decodes in worker processes with limits of memory and CPU time instead.
"""

MEGAPIXELS = 64  # default of `data.checks.max_megapixels`
# Each scan of a JPEG visits all pixels again: about 0.7 ms per megapixel. Encoders write up to 20
# scans in progressive files, and many images of the largest size have at most 10.
SCANS = 100
FULL_SCANS = 16  # limit of an image of the largest size; inversely proportional to the pixels
SEGMENTS = 1000  # of a JPEG, which are read one after the other before the picture is decoded
# Compressed texts and profiles of a PNG: libpng decompresses up to 8 MB of each.
COMPRESSED_TEXTS = 20
