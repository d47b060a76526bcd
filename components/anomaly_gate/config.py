"""How far images may move: the `validation:` part of a recipe. Imports no TensorFlow and no TFX."""

from typing import Literal

from pydantic import Field

from common import features
from common.strict_model import StrictModel

# What the keys of the limits are called in the records.
FEATURE_OF = {
    'brightness': features.BRIGHTNESS,
    'contrast': features.CONTRAST,
    'sharpness': features.SHARPNESS,
    'colourfulness': features.COLOURFULNESS,
    'bytes': features.BYTES,
    'height': features.HEIGHT,
    'width': features.WIDTH,
    'aspect': features.ASPECT,
    'class_balance': features.CLASS_NAME,
    'format': features.IMAGE_FORMAT,
}
SHARES = ('class_balance', 'format')  # all others are numbers

_MEASURE = 'Jensen-Shannon divergence, 0 to 1; none: not compared'
_SHARE = 'largest change of a share; none: not compared'


class SkewLimits(StrictModel):
    """How far eval and test may be from train."""

    class_balance: float | None = Field(0.1, gt=0, le=1, description=_SHARE)


class DriftLimits(StrictModel):
    """How far a span may be from the one before.

    The defaults lie above what equal sets of a hundred photographs differ by (0.1; widths, heights
    and their ratio, of which many are the same, 0.33), and below what a change by a third of the
    brightness, half the size or a blur does (0.36, 0.7, 0.59).
    """

    brightness: float | None = Field(0.2, gt=0, le=1, description=_MEASURE)
    contrast: float | None = Field(0.2, gt=0, le=1, description=_MEASURE)
    sharpness: float | None = Field(0.2, gt=0, le=1, description=_MEASURE)
    colourfulness: float | None = Field(0.2, gt=0, le=1, description=_MEASURE)
    bytes: float | None = Field(0.2, gt=0, le=1, description=_MEASURE)
    height: float | None = Field(0.5, gt=0, le=1, description=_MEASURE)
    width: float | None = Field(0.5, gt=0, le=1, description=_MEASURE)
    aspect: float | None = Field(0.5, gt=0, le=1, description=_MEASURE)
    class_balance: float | None = Field(0.1, gt=0, le=1, description=_SHARE)
    format: float | None = Field(0.1, gt=0, le=1, description=_SHARE)


class ValidationConfig(StrictModel):
    """What is said of images that moved, and from which distance on."""

    on_drift: Literal['warn', 'stop'] = Field(
        'warn', description='the newest span is not like the one before'
    )
    on_skew: Literal['warn', 'stop'] = Field(
        'warn', description='eval or test has other shares of the classes than train'
    )
    min_images: int = Field(
        100, ge=1, description='a split with fewer is not compared: its distances are noise'
    )
    drift: DriftLimits = DriftLimits()
    skew: SkewLimits = SkewLimits()
