"""Configuration of drift and skew detection: `validation:` of a recipe."""

from typing import Annotated, Literal

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

_Divergence = Annotated[
    float | None,
    Field(gt=0, le=1, description='threshold of the Jensen-Shannon divergence; none: not compared'),
]
_ShareChange = Annotated[
    float | None,
    Field(gt=0, le=1, description='threshold of the largest change of a share; none: not compared'),
]


class SkewLimits(StrictModel):
    """Skew thresholds of eval and test against train."""

    class_balance: _ShareChange = 0.1


class DriftLimits(StrictModel):
    """Drift thresholds of a span against the previous one.

    The defaults are above the distance of random samples of a hundred photographs (0.1; 0.33 for
    width, height and aspect, which have many equal values), and below that of images a third
    darker (0.36), of half the size (0.7) or blurred (0.59).
    """

    brightness: _Divergence = 0.2
    contrast: _Divergence = 0.2
    sharpness: _Divergence = 0.2
    colourfulness: _Divergence = 0.2
    bytes: _Divergence = 0.2
    height: _Divergence = 0.5
    width: _Divergence = 0.5
    aspect: _Divergence = 0.5
    class_balance: _ShareChange = 0.1
    format: _ShareChange = 0.1


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
