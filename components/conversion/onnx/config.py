"""Configuration of the ONNX model: `onnx:` of a recipe."""

from pydantic import Field

from common.strict_model import StrictModel

ONNX_FILE = 'onnx.json'  # in the artifact's folder: a ConversionResult


class OnnxConfig(StrictModel):
    """Maximum drop of accuracy of the ONNX model, and its test images."""

    max_drop: float = Field(
        0.02, ge=0, le=1, description='maximum drop of accuracy from the SavedModel to be pushed'
    )
    test_images: int = Field(1000, ge=1, description='maximum number of test images')
