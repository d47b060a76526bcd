"""Configuration of drift and skew detection: `validation:` of a recipe."""

from typing import Annotated, Literal

from pydantic import Field

from common.strict_model import StrictModel

_Limit = Annotated[
    float | None, Field(gt=0, le=1, description='largest distance; null: not compared')
]


class SkewLimits(StrictModel):
    """Skew thresholds of eval and test against train."""

    class_balance: _Limit = 0.1


class DriftLimits(StrictModel):
    """Drift thresholds of a span against the previous one.

    The defaults are above the distance of random samples of a hundred photographs (0.1; 0.33 for
    width, height and aspect, which have many equal values), and below that of images a third
    darker (0.36), of half the size (0.7) or blurred (0.59).
    """

    brightness: _Limit = 0.2
    contrast: _Limit = 0.2
    sharpness: _Limit = 0.2
    colourfulness: _Limit = 0.2
    bytes: _Limit = 0.2
    height: _Limit = 0.5
    width: _Limit = 0.5
    aspect: _Limit = 0.5
    class_balance: _Limit = 0.1
    format: _Limit = 0.1


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
