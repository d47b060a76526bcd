"""Limits of images: `data.checks` of a recipe. Imports no TensorFlow."""

from pydantic import Field

from common.errors import Rejected
from common.features import MEGAPIXELS
from common.files import MEGABYTE
from common.strict_model import StrictModel

_LONGEST_SIDE = 65_500  # pixels; the limit of libjpeg, which also encodes the converted images
_MOST_PIXELS = (2**29 - 1) // 3  # TensorFlow decodes fewer than 2**29 values


def too_large(limit: int, size: int, when: str = '') -> Rejected | None:
    """The error for a size above the limit, both in bytes; None for a smaller one."""
    detail = f'{when}it has {size / MEGABYTE:,.1f} MB; the limit is {limit / MEGABYTE:g} MB'
    return Rejected('too large', detail) if size > limit else None


class CheckConfig(StrictModel):
    """Limits of each image, and of the share of bad images."""

    min_side: int = Field(16, ge=1, description='pixels of the shorter side')
    max_megapixels: float = Field(
        MEGAPIXELS,
        gt=0,
        description='width times height; also of the images that the exported model classifies',
    )
    max_megabytes: float = Field(
        100, gt=0, le=1e6, description='of the file, also after it was converted'
    )
    max_bad_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description='a run fails if a larger share of the images of its classes is unusable',
    )
    near_distance: int = Field(
        40,
        ge=0,
        le=64,
        description='differing bits of 256 of the perceptual hashes of near-duplicates; 0: only '
        'equal bytes are duplicates, for classes that look alike',
    )

    @property
    def max_bytes(self) -> int:
        """`max_megabytes` in bytes."""
        return int(self.max_megabytes * MEGABYTE)

    def check_bytes(self, contents: bytes, when: str = '') -> None:
        """Raises Rejected if there are no bytes, or more than `max_megabytes`."""
        if not contents:
            raise Rejected('empty', 'it has no bytes')
        if error := too_large(self.max_bytes, len(contents), when):
            raise error

    def check_size(self, width: int, height: int) -> None:
        """Raises Rejected if a picture is too small or too large."""
        size = f'it has {width:,} by {height:,} pixels'
        if min(width, height) < self.min_side:
            raise Rejected('too small', f'{size}; the shorter side needs {self.min_side}')
        most = min(self.max_megapixels * 1e6, _MOST_PIXELS)
        if width * height > most or max(width, height) > _LONGEST_SIDE:
            limits = f'{most / 1e6:,.5g} megapixels and {_LONGEST_SIDE:,} pixels of a side'
            raise Rejected('too large', f'{size}; the limits are {limits}')
