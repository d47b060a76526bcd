"""Configuration of TensorFlow Lite models: `lite:` of a recipe."""

from typing import Literal

from pydantic import Field

from common.strict_model import StrictModel

LITE_FILE = 'lite.json'  # in the artifact's folder: a ConversionResult


class LiteConfig(StrictModel):
    """Formats of TensorFlow Lite models, and their maximum drop of accuracy."""

    formats: tuple[Literal['float16', 'int8'], ...] = Field(
        ('float16', 'int8'), min_length=1, description='float16: weights; int8: whole computation'
    )
    max_drop: float = Field(
        0.02, ge=0, le=1, description='maximum drop of accuracy from the SavedModel to be pushed'
    )
    representative_images: int = Field(
        100,
        ge=1,
        description='train images that calibrate int8 quantization, equally many of each class',
    )
    test_images: int = Field(1000, ge=1, description='maximum number of test images')
