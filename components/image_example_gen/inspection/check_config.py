"""Limits of images: `data.checks` of a recipe. Imports no TensorFlow."""

from typing import Literal

from pydantic import Field

from common.files import MEGABYTE
from common.image_limits import MEGAPIXELS
from common.strict_model import StrictModel


class CheckConfig(StrictModel):
    """Limits of each image, and of the share of bad images."""

    min_side: int = Field(16, ge=1, description='pixels of the shorter side')
    max_megapixels: float = Field(
        MEGAPIXELS,
        gt=0,
        description='width times height, read from the header before decoding; also limits the '
        'CPU time for decoding, and the images that the exported model classifies',
    )
    max_megabytes: float = Field(
        100, gt=0, le=1e6, description='of the file, also after it was converted'
    )
    animated: Literal['first_frame', 'refuse'] = Field(
        'first_frame', description='action on an animated GIF, WebP or PNG'
    )
    max_bad_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description='a run fails if a larger share of the images in its window is unusable; images '
        'of classes that are not trained do not count',
    )
    near_distance: int = Field(
        40,
        ge=0,
        le=64,
        description='largest distance of near-duplicates: differing bits of 256 of their '
        'perceptual hashes; 0: only equal bytes are duplicates, for classes that look alike',
    )
    quarantine_megabytes: float = Field(
        100, ge=0, description='size limit of the copies of bad images; their list has no limit'
    )

    @property
    def max_bytes(self) -> int:
        """`max_megabytes` in bytes."""
        return int(self.max_megabytes * MEGABYTE)
