"""Configuration of models in other formats: `converter:` of a recipe."""

from typing import Literal

from pydantic import Field, field_validator

from common.strict_model import StrictModel

LABELS_FILE = 'labels.txt'  # class names in the order of their labels, one per line
Format = Literal['float16', 'int8', 'onnx']
FILES: dict[Format, str] = {
    'float16': 'float16.tflite',
    'int8': 'int8.tflite',
    'onnx': 'model.onnx',
}


class ConverterConfig(StrictModel):
    """Formats of a pushed model besides the SavedModel, and their maximum drop of accuracy."""

    formats: tuple[Format, ...] = Field(
        ('float16', 'int8'),
        description='TensorFlow Lite with float16 weights, or with int8 weights and activations; '
        'onnx needs the extra onnx',
    )
    max_drop: float = Field(
        0.02, ge=0, le=1, description='maximum drop of accuracy from the SavedModel to be pushed'
    )
    calibration_images: int = Field(
        50,
        ge=1,
        description='train images that calibrate int8 quantization, equally many of each class',
    )
    test_images: int = Field(1000, ge=1, description='maximum number of test images')

    @field_validator('formats')
    @classmethod
    def _are_different(cls, formats: tuple[Format, ...]) -> tuple[Format, ...]:
        if not formats or len(set(formats)) < len(formats):
            raise ValueError('must have at least one format, and each once')
        return formats
