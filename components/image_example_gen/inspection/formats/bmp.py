"""The header of a Windows bitmap."""

from components.image_example_gen.inspection.formats.header import Header, truncated

_OS2_HEADER = 12
HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)


def read_header(contents: bytes) -> Header:
    """Width and height; a bitmap that starts at the top has a negative one.

    Raises:
        Rejected: it is too short to say its size.
    """
    if len(contents) < 26:
        raise truncated(contents, 'before its picture begins')
    if int.from_bytes(contents[14:18], 'little') == _OS2_HEADER:
        values, signed = (contents[18:20], contents[20:22]), False
    else:
        values, signed = (contents[18:22], contents[22:26]), True
    width, height = (abs(int.from_bytes(value, 'little', signed=signed)) for value in values)
    return Header(width, height, whole=True)  # nothing marks its end: decoding tells
