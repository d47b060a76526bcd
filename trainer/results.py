"""Results of a training for the report page. Imports neither TensorFlow nor TFX."""

from typing import Any

from common.strict_model import StrictModel


class FineTuningChoice(StrictModel):
    """The values of `auto` in `trainer.fine_tune`, stored in the SavedModel."""

    basis: dict[str, Any]  # a training with an equal basis takes the values over; {} for none
    values: dict[str, int | float]  # by key of `trainer.fine_tune`
    reason: str  # a sentence for the console and the report


class NetworkPart(StrictModel):
    """Consecutive layers of a network: one size of feature maps, or the head."""

    size: int | None  # height and width of the feature maps in pixels; None for the head
    channels: int  # of the last layer
    layers: int  # convolutions or dense layers
    parameters: int  # of batch norm those that it adds to a convolution, if it is folded
    trained: int  # parameters of the layers that the recipe trains


class CalibrationMeasures(StrictModel):
    """Calibration of a model on the validation split, without class weights."""

    log_loss: float
    calibration_error: float  # expected calibration error, of two classes that of the second


class Calibration(StrictModel):
    """Temperature of a model, with its calibration before and after."""

    temperature: float
    images: int
    before: CalibrationMeasures
    after: CalibrationMeasures
    problem: str | None = None  # reason why no temperature was fitted, and 1 is used

    def describe(self) -> str:
        """One line for the console."""
        if self.problem:
            return f'temperature scaling: {self.problem}; the logits are not scaled'
        return (
            f'temperature scaling: {self.temperature:.3g}, fitted on {self.images:,} eval images; '
            f'log loss {self.before.log_loss:.4f} before, {self.after.log_loss:.4f} after; '
            f'calibration error {self.before.calibration_error:.4f} before, '
            f'{self.after.calibration_error:.4f} after'
        )
