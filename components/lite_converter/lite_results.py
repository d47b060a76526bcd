"""Results of LiteConverter."""

from common.strict_model import StrictModel
from components.evaluation.results import Estimate

LITE_FILE = 'lite.json'  # in the artifact's folder: a LiteResult


class LiteModel(StrictModel):
    """A TensorFlow Lite model.

    Attributes:
        format: 'float16' or 'int8'.
        file: filename in the artifact's folder.
        megabytes: size in 10^6 bytes.
        accuracy: accuracy on the same images as the SavedModel.
        agreement: share of images with the same prediction as the SavedModel.
        milliseconds: latency per decoded image on one core.
        within_bound: whether the drop of accuracy is at most `max_drop`, so that it is pushed.
    """

    format: str
    file: str
    megabytes: float
    accuracy: Estimate
    agreement: float
    milliseconds: float
    within_bound: bool


class LiteResult(StrictModel):
    """Accuracy of the TensorFlow Lite models and the SavedModel.

    Attributes:
        images: number of test images.
        max_drop: maximum drop of accuracy.
        saved_model: accuracy of the SavedModel.
        models: one per format.
    """

    images: int
    max_drop: float
    saved_model: Estimate
    models: tuple[LiteModel, ...]

    @property
    def pushed(self) -> tuple[str, ...]:
        """Filenames of the models to push."""
        return tuple(model.file for model in self.models if model.within_bound)
