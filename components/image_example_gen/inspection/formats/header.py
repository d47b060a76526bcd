"""What the first bytes of an image file say of the picture, whatever its format."""

from dataclasses import dataclass

from common.errors import Rejected


@dataclass(frozen=True)
class Header:
    """Read without decoding a pixel, so that a bomb is seen before it goes off.

    Attributes:
        width: in pixels, before the orientation is applied.
        height: in pixels.
        whole: the end of the file, as its format marks it, is there.
        colours: how its pixels differ from 8-bit RGB, such as "CMYK"; None where they do not, or
            are gray.
        frames: more than 1 if it is animated.
        orientation: 1 to 8, as EXIF has it; 1 is upright.
        lossy: it was compressed with loss before.
    """

    width: int
    height: int
    whole: bool
    colours: str | None = None
    frames: int = 1
    orientation: int = 1
    lossy: bool = False


def truncated(contents: bytes, where: str = 'in the middle of the picture') -> Rejected:
    """The error for a file that ends before its picture does."""
    return Rejected('truncated', f'it ends after {len(contents):,} bytes, {where}')
