"""Metrics of each training stage, and detection of overfitting."""

import math
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, computed_field
from pydantic.dataclasses import dataclass

MIN_EPOCHS_WITHOUT_PATIENCE = 3  # epochs above the minimum if early stopping is disabled
MIN_RELATIVE_RISE = 0.05  # of the validation loss; smaller changes are noise


@dataclass(frozen=True)
class StageHistory:
    """One stage: 'loss', 'accuracy', 'val_loss', 'val_accuracy' and 'learning_rate' of its epochs.

    'val_loss' is the log loss of `callbacks.Validation`, after temperature scaling if the recipe
    calibrates; 'loss' is the one that training minimises.
    """

    name: str
    metrics: dict[str, tuple[float, ...]]
    best_epoch: int | None  # counted from 1; None if no epoch improved on the weights before
    patience: int  # of early stopping, in epochs; 0: disabled
    loss_before: float | None = None  # lowest 'val_loss' before the stage; None if there was none

    @computed_field  # type: ignore[prop-decorator]
    @property
    def discarded(self) -> str | None:
        """A sentence for the console if no epoch improved on the weights before, else None."""
        if self.best_epoch or self.loss_before is None:
            return None
        losses = [loss for loss in self.metrics['val_loss'] if not math.isnan(loss)]
        lowest = f'{min(losses):.3g}' if losses else 'NaN'
        return (
            f'{self.name} is discarded: its lowest validation loss is {lowest}, that of the '
            f'weights before it {self.loss_before:.3g}; these are kept; a lower learning rate '
            'or fewer trained layers would help'
        )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def overfitting(self) -> str | None:
        """A sentence for the console if the stage ended in overfitting, else None.

        At least the last `patience` epochs are above the lowest validation loss, the last epoch by
        more than noise, and the training loss decreased meanwhile. A loss that ends as NaN has
        diverged, which is not overfitting.
        """
        validation, training = self.metrics['val_loss'], self.metrics['loss']
        lowest = min((loss for loss in validation if not math.isnan(loss)), default=math.inf)
        if math.isinf(lowest):
            return None
        epochs_above = validation[::-1].index(lowest)
        low = len(validation) - 1 - epochs_above  # the last one of a plateau
        if not (
            epochs_above >= (self.patience or MIN_EPOCHS_WITHOUT_PATIENCE)
            and validation[-1] > lowest + MIN_RELATIVE_RISE * abs(lowest)
            and training[-1] < training[low]
        ):
            return None
        kept = f'of epoch {self.best_epoch}' if self.best_epoch else 'from before this stage'
        return (
            f'overfitting in {self.name}: validation loss rose from {lowest:.3g} (epoch {low + 1}) '
            f'to {validation[-1]:.3g} (epoch {len(validation)}) while training loss fell from '
            f'{training[low]:.3g} to {training[-1]:.3g}; the weights {kept} are kept; '
            'more augmentation, dropout or data would help'
        )


def write_history(path: Path, histories: Sequence[StageHistory]) -> None:
    """Writes the stages as a JSON list; NaN and infinity become null."""
    path.write_bytes(TypeAdapter(list[StageHistory]).dump_json(list(histories), indent=1) + b'\n')
