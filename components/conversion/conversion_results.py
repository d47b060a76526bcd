"""Results of the conversion of a model to other formats."""

from common.strict_model import StrictModel
from components.conversion.converter_config import LABELS_FILE, Format
from components.evaluation.results import Estimate

RESULT_FILE = 'conversion.json'  # in the artifact's folder: a ConversionResult


class ConvertedModel(StrictModel):
    """A model in another format."""

    format: Format
    file: str  # filename in the artifact's folder
    megabytes: float  # of 10^6 bytes
    accuracy: Estimate  # on the same images as the SavedModel
    agreement: float  # share of images with the same prediction as the SavedModel
    milliseconds: float  # CPU time per decoded image on one core
    within_bound: bool  # whether the drop of accuracy is at most `max_drop`, so that it is pushed


class ConversionResult(StrictModel):
    """Accuracy of the converted models and the SavedModel, on the same test images."""

    max_drop: float
    images: int = 0
    saved_model: Estimate = Estimate(value=None)
    models: tuple[ConvertedModel, ...] = ()
    skipped: str | None = None  # the reason, if there are no models

    @property
    def pushed(self) -> tuple[str, ...]:
        """Names of the files to push: accurate models, and their labels."""
        models = tuple(model.file for model in self.models if model.within_bound)
        return (*models, LABELS_FILE) if models else ()

    def describe(self) -> str:
        """One line with the accuracy of all models."""
        if self.skipped:
            return f'nothing is converted: {self.skipped}'
        models = [
            f'{each.format} {each.accuracy.value:.4f}{"" if each.within_bound else " (not pushed)"}'
            for each in self.models
        ]
        accuracies = ', '.join([f'SavedModel {self.saved_model.value:.4f}', *models])
        return f'accuracy on {self.images:,} test images: {accuracies}'
