"""What an image must be to be used: `data.checks` of a recipe. Imports no TensorFlow."""

from typing import Literal

from pydantic import Field

from common.files import MEGABYTE
from common.strict_model import StrictModel


class CheckConfig(StrictModel):
    """Limits of a single image, and of how many may break them."""

    min_side: int = Field(16, ge=1, description='pixels of the shorter side')
    max_megapixels: float = Field(
        64, gt=0, description='width times height, read from the header before decoding'
    )
    max_megabytes: float = Field(100, gt=0, description='of the file')
    animated: Literal['first_frame', 'refuse'] = Field(
        'first_frame', description='what is done with an animated GIF, WebP or PNG'
    )
    max_bad_share: float = Field(
        0.05, ge=0, le=1, description='a run fails if more of its images are bad'
    )
    near_distance: int = Field(
        40,
        ge=0,
        le=64,
        description='largest distance of near-duplicates: differing bits of 256 of their '
        'perceptual hashes; 0: only equal bytes are duplicates, for classes that look alike',
    )
    quarantine_megabytes: float = Field(
        100, ge=0, description='the most that copies of bad images take; their list has no limit'
    )

    @property
    def max_bytes(self) -> int:
        """The most that the file of an image may have."""
        return int(self.max_megabytes * MEGABYTE)
