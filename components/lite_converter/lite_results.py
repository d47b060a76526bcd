"""What TensorFlow Lite models are worth. Imports neither TensorFlow nor TFX."""

from common.strict_model import StrictModel
from components.evaluation.results import Estimate

LITE_FILE = 'lite.json'  # in the artifact's folder: a LiteResult


class LiteModel(StrictModel):
    """One format.

    Attributes:
        format: 'float16' or 'int8'.
        file: its name, relative to the folder.
        megabytes: 10^6 bytes.
        accuracy: on the same images as the SavedModel's, with its interval.
        agreement: share of them to which it says the same class as the SavedModel.
        milliseconds: for one image, decoded already, on one core.
        within_bound: whether it is at most `max_drop` less accurate, and so may be pushed.
    """

    format: str
    file: str
    megabytes: float
    accuracy: Estimate
    agreement: float
    milliseconds: float
    within_bound: bool


class LiteResult(StrictModel):
    """TensorFlow Lite models beside the SavedModel that they were made from.

    Attributes:
        images: of the test split, on which all were asked.
        max_drop: of accuracy, that is allowed.
        saved_model: accuracy of the SavedModel.
        models: one for each format.
    """

    images: int
    max_drop: float
    saved_model: Estimate
    models: tuple[LiteModel, ...]

    @property
    def pushed(self) -> tuple[str, ...]:
        """Names of the files that may go with a version."""
        return tuple(model.file for model in self.models if model.within_bound)
