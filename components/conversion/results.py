"""Results of the conversion of a model to another format."""

import logging
from pathlib import Path

from common.strict_model import StrictModel
from components.evaluation.results import Estimate, wilson

_log = logging.getLogger(__name__)


class ConvertedModel(StrictModel):
    """A model in another format."""

    format: str  # 'float16' or 'int8'
    file: str  # filename in the artifact's folder
    megabytes: float  # of 10^6 bytes
    accuracy: Estimate  # on the same images as the SavedModel
    agreement: float  # share of images with the same prediction as the SavedModel
    milliseconds: float  # latency per decoded image on one core
    within_bound: bool  # whether the drop of accuracy is at most `max_drop`, so that it is pushed


class ConversionResult(StrictModel):
    """Accuracy of the converted models and the SavedModel, on the same test images."""

    images: int
    max_drop: float
    saved_model: Estimate
    models: tuple[ConvertedModel, ...]
    skipped: str | None = None  # the reason, if there are no models

    @property
    def pushed(self) -> tuple[str, ...]:
        """Filenames of the models to push."""
        return tuple(model.file for model in self.models if model.within_bound)

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

    def write(self, path: Path) -> None:
        """Writes the result as JSON, and logs it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=1))
        _log.info(self.describe())


def skipped(reason: str, max_drop: float) -> ConversionResult:
    """Returns the result if nothing is converted."""
    nothing = wilson(0, 0)
    return ConversionResult(
        images=0, max_drop=max_drop, saved_model=nothing, models=(), skipped=reason
    )
