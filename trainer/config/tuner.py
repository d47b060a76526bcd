"""A search for hyperparameters: `tuner:` of a recipe. Imports neither TensorFlow nor TFX."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from common.strict_model import StrictModel

# Names of the branches of a union, where pydantic would else try all and complain of each.
RANGE_TAG, OTHER_TAGS = 'range', ('list', 'word', 'named')

# What a trial may change: nothing that the activation cache depends on.
TUNABLE = (
    'batch_size',
    'label_smoothing',
    'head.dropout',
    'head.l2',
    'augment.mixup',
    *(
        f'{stage}.{key}'
        for stage in ('feature_extraction', 'fine_tune')
        for key in ('optimizer', 'learning_rate', 'schedule', 'warmup', 'weight_decay')
    ),
)


class RangeConfig(StrictModel):
    """Numbers between two bounds."""

    low: float
    high: float
    log: bool = Field(False, description='every order of magnitude is as likely')

    @model_validator(mode='after')
    def _low_is_lower(self) -> 'RangeConfig':
        if not self.low < self.high:
            raise ValueError(f'low ({self.low}) should be less than high ({self.high})')
        if self.log and self.low <= 0:
            raise ValueError(f'low ({self.low}) should be more than 0 where log is true')
        return self


def _kind_of_choices(value: object) -> str:
    return RANGE_TAG if isinstance(value, (dict, RangeConfig)) else 'list'


# Told apart first, so that a mistake is told once, as what it is.
Choices = Annotated[
    Annotated[RangeConfig, Tag(RANGE_TAG)] | Annotated[list[Any], Field(min_length=1), Tag('list')],
    Discriminator(_kind_of_choices),
]


class TunerConfig(StrictModel):
    """A search for hyperparameters before the Trainer, which gets the best ones."""

    trials: int = Field(8, ge=1, description='trainings, each with other values')
    algorithm: Literal['random', 'bayesian'] = 'random'
    objective: Literal['val_loss', 'val_accuracy'] = 'val_loss'
    space: dict[str, Choices] = Field(
        description='keys of the Trainer, such as head.dropout: a range or a list of values'
    )

    @model_validator(mode='after')
    def _losses_can_be_compared(self) -> 'TunerConfig':
        changing = [key for key in ('label_smoothing', 'head.l2') if key in self.space]
        if changing and self.objective == 'val_loss':
            raise ValueError(
                f'{" and ".join(changing)} changes what the loss means; set objective: val_accuracy'
            )
        return self

    @field_validator('space')
    @classmethod
    def _keys_can_be_tuned(cls, space: dict[str, Choices]) -> dict[str, Choices]:
        if not space:
            raise ValueError('space names no key; it needs at least one')
        for key in space:
            if key not in TUNABLE:
                raise ValueError(f'{key} cannot be tuned; these can: {", ".join(TUNABLE)}')
        return space


def in_words(values: Mapping[str, Any]) -> str:
    """Keys and values for a person."""
    return ', '.join(
        f'{key} {value:.3g}' if isinstance(value, float) else f'{key} {value}'
        for key, value in values.items()
    )
