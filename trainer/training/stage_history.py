"""What happened in each stage of a training, as numbers and as a sentence."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

RISE_WITHOUT_PATIENCE = 3  # epochs of a rise that count in a stage that never stops early
SMALLEST_RISE = 0.05  # as share of the lowest validation loss; less is noise


@dataclasses.dataclass(frozen=True)
class StageHistory:
    """One stage of a training.

    Attributes:
        name: what the person sees, such as 'stage 1, head'.
        metrics: 'loss', 'accuracy', 'val_loss' and 'val_accuracy', as Keras names them, with one
            number for each epoch.
        best_epoch: the epoch of this stage, counted from 1, whose weights were kept. None if no
            epoch was better than what was there before.
        patience: epochs without a better validation loss that end the stage; 0: it never stops.
    """

    name: str
    metrics: dict[str, tuple[float, ...]]
    best_epoch: int | None
    patience: int


def overfitting(history: StageHistory) -> str | None:
    """One sentence if the stage ended overfitting, else None.

    It did if the validation loss has been above its lowest for at least `patience` epochs (of
    which early stopping leaves exactly that many), ended visibly above it, and the training loss
    fell meanwhile. A loss that ends as NaN diverged, which is something else.
    """
    validation, training = history.metrics['val_loss'], history.metrics['loss']
    lowest = min((loss for loss in validation if not math.isnan(loss)), default=math.inf)
    if math.isinf(lowest):
        return None
    low = len(validation) - 1 - validation[::-1].index(lowest)  # the last of a plateau
    long = len(validation) - 1 - low >= (history.patience or RISE_WITHOUT_PATIENCE)
    rose = validation[-1] > lowest + SMALLEST_RISE * abs(lowest)
    if not (long and rose and training[-1] < training[low]):
        return None
    return (
        f'overfitting in {history.name}: validation loss rose from {_number(lowest)} '
        f'(epoch {low + 1}) to {_number(validation[-1])} (epoch {len(validation)}) while training '
        f'loss fell from {_number(training[low])} to {_number(training[-1])}; '
        f'{_kept(history)}; more augmentation, dropout or data would help'
    )


def _kept(history: StageHistory) -> str:
    if history.best_epoch is None:
        return 'the weights from before this stage are kept'
    return f'the weights of epoch {history.best_epoch} are kept'


def _number(loss: float) -> str:
    return f'{loss:.3f}' if loss >= 0.01 else f'{loss:.2g}'


def write_history(path: Path, histories: Sequence[StageHistory]) -> None:
    """Writes a JSON list of the stages: name, metrics, best_epoch, patience, overfitting.

    `overfitting` is the sentence or null. JSON knows no NaN and no infinity: they are null.
    """
    stages = [
        {
            **dataclasses.asdict(history),
            'metrics': {key: _finite(values) for key, values in history.metrics.items()},
            'overfitting': overfitting(history),
        }
        for history in histories
    ]
    path.write_text(json.dumps(stages, indent=1, allow_nan=False) + '\n')


def _finite(values: Sequence[float]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
