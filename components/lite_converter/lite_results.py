"""Results of LiteConverter."""

from common.strict_model import StrictModel
from components.evaluation.results import Estimate

LITE_FILE = 'lite.json'  # in the artifact's folder: a LiteResult


class LiteModel(StrictModel):
    """A TensorFlow Lite model."""

    format: str  # 'float16' or 'int8'
    file: str  # filename in the artifact's folder
    megabytes: float  # of 10^6 bytes
    accuracy: Estimate  # on the same images as the SavedModel
    agreement: float  # share of images with the same prediction as the SavedModel
    milliseconds: float  # latency per decoded image on one core
    within_bound: bool  # whether the drop of accuracy is at most `max_drop`, so that it is pushed


class LiteResult(StrictModel):
    """Accuracy of the TensorFlow Lite models and the SavedModel, on the same test images."""

    images: int
    max_drop: float
    saved_model: Estimate
    models: tuple[LiteModel, ...]

    @property
    def pushed(self) -> tuple[str, ...]:
        """Filenames of the models to push."""
        return tuple(model.file for model in self.models if model.within_bound)

    def describe(self) -> str:
        """One line with the accuracy of all models."""
        models = [
            f'{each.format} {each.accuracy.value:.4f}{"" if each.within_bound else " (not pushed)"}'
            for each in self.models
        ]
        accuracies = ', '.join([f'SavedModel {self.saved_model.value:.4f}', *models])
        return f'accuracy on {self.images:,} test images: {accuracies}'
