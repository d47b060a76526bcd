"""Configuration of drift and skew detection: `validation:` of a recipe."""

from typing import Literal

from pydantic import Field

from common import features
from common.strict_model import StrictModel

# Features by the names of their thresholds.
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
SHARES = ('class_balance', 'format')  # compared by L-infinity norm

_MEASURE = 'threshold of the Jensen-Shannon divergence, 0 to 1; none: not compared'
_SHARE = 'threshold of the largest change of a share (L-infinity norm); none: not compared'


class SkewLimits(StrictModel):
    """Skew thresholds of eval and test against train."""

    class_balance: float | None = Field(0.1, gt=0, le=1, description=_SHARE)


class DriftLimits(StrictModel):
    """Drift thresholds of a span against the previous one.

    The defaults are above the distance of random samples of a hundred photographs (0.1; 0.33 for
    width, height and aspect, which have many equal values), and below that of images a third
    darker (0.36), of half the size (0.7) or blurred (0.59).
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
    """Thresholds of drift and skew, and the action when they are exceeded."""

    on_drift: Literal['warn', 'stop'] = Field(
        'warn', description='action on drift between the newest span and the previous one'
    )
    on_skew: Literal['warn', 'stop'] = Field(
        'warn', description='action on class balance of eval or test that differs from train'
    )
    min_images: int = Field(
        100, ge=1, description='smaller splits are not compared: their distances are noise'
    )
    drift: DriftLimits = DriftLimits()
    skew: SkewLimits = SkewLimits()
