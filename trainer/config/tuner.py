"""The `tuner:` key of a recipe: a hyperparameter search. Imports neither TensorFlow nor TFX."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from common.strict_model import StrictModel

# Tags of discriminated unions: without them pydantic reports an error for each branch.
RANGE_TAG, OTHER_TAGS = 'range', ('list', 'word', 'named')

_STAGE_KEYS = (
    'optimizer',
    'momentum',
    'clip_norm',
    'learning_rate',
    'schedule',
    'warmup',
    'weight_decay',
)
# Keys that a trial may change: the activation cache depends on none of them.
TUNABLE = (
    'batch_size',
    'label_smoothing',
    'head.dropout',
    'head.l2',
    *(f'{stage}.{key}' for stage in ('feature_extraction', 'fine_tune') for key in _STAGE_KEYS),
)


class RangeConfig(StrictModel):
    """A numeric range for a hyperparameter, sampled on a linear or logarithmic scale."""

    low: float = Field(description='smallest value')
    high: float = Field(description='largest value')
    log: bool = Field(False, description='sample on a logarithmic scale')

    @model_validator(mode='after')
    def _check_bounds(self) -> 'RangeConfig':
        if not self.low < self.high:
            raise ValueError(f'low ({self.low}) should be less than high ({self.high})')
        if self.log and self.low <= 0:
            raise ValueError(f'low ({self.low}) should be greater than 0 if log is true')
        return self


Choices = Annotated[
    Annotated[RangeConfig, Tag(RANGE_TAG)] | Annotated[list[Any], Field(min_length=1), Tag('list')],
    Discriminator(lambda value: RANGE_TAG if isinstance(value, (dict, RangeConfig)) else 'list'),
]


class TunerConfig(StrictModel):
    """Hyperparameter search before training; the Trainer uses the best values."""

    trials: int = Field(8, ge=1, le=10_000, description='number of trainings')
    algorithm: Literal['random', 'bayesian'] = Field(
        'random', description='how trials are chosen; bayesian: from the results of earlier trials'
    )
    objective: Literal['val_loss', 'val_accuracy'] = Field(
        'val_loss', description='metric of the eval split by which trials are compared'
    )
    space: dict[Literal[TUNABLE], Choices] = Field(  # type: ignore[valid-type]
        min_length=1, description='a range or a list of values for each key of the Trainer'
    )


def combinations(space: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields all combinations of the values of keys with one parent, by full key.

    Values of other keys do not depend on them. Of a range these are the ends.
    """

    def parent(key: str) -> str:
        return key.rpartition('.')[0]

    for _, group in itertools.groupby(sorted(space, key=parent), parent):
        keys = [*group]
        values = [
            (each.low, each.high) if isinstance(each, RangeConfig) else each
            for each in map(space.__getitem__, keys)
        ]
        for combination in itertools.product(*values):
            yield dict(zip(keys, combination, strict=True))


def format_values(values: Mapping[str, Any]) -> str:
    """Formats hyperparameters for the console: `head.dropout 0.2, batch_size 16`."""
    return ', '.join(
        f'{key} {value:.3g}' if isinstance(value, float) else f'{key} {value}'
        for key, value in values.items()
    )
