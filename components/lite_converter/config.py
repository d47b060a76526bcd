"""TensorFlow Lite models: `lite:` of a recipe. Imports neither TensorFlow nor TFX."""

from typing import Literal

from pydantic import Field

from common.strict_model import StrictModel


class LiteConfig(StrictModel):
    """TensorFlow Lite: what is written and how much worse than the SavedModel it may be."""

    formats: tuple[Literal['float16', 'int8'], ...] = Field(('float16', 'int8'), min_length=1)
    max_drop: float = Field(
        0.02, ge=0, le=1, description='a format less accurate than that is not pushed'
    )
    representative_images: int = Field(
        100, ge=1, description='of the train split, whose ranges of values int8 is made for'
    )
    test_images: int = Field(1000, ge=1, description='of the test split, at most')
