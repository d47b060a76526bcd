"""Configuration of the evaluation: `evaluation:` of a recipe."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from common.errors import ConfigError
from common.strict_model import StrictModel
from components.evaluation.results import ACCURACY, LEAST_CLASSES, LOG_LOSS, LOW, METRICS

Share = Annotated[float, Field(ge=0, le=1)]

# Slice names of each measure, lowest first.
SLICES = {
    'brightness': ('dark', 'medium', 'bright'),
    'sharpness': ('blurred', 'medium', 'sharp'),
    'size': ('small', 'medium', 'large'),
    'aspect': ('tall', 'square', 'wide'),
}
# Edges between the slices of each measure; a value equal to an edge is in the upper one.
EDGES = {
    'brightness': (0.4, 0.55),
    'sharpness': (6.0, 7.25),
    'size': (0.1, 0.18),  # megapixels
    'aspect': (0.9, 1.1),  # width over height
}
CLASS, SOURCE = 'class', 'source'  # slices by a feature, without edges
SLICED_BY = (CLASS, *SLICES, SOURCE)


def slice_name(feature: str, name: str) -> str:
    """Human-readable name of a slice: `dark images`, `images of cats`, `images of medium size`."""
    if feature == CLASS:
        return f'images of {name}'
    if feature == SOURCE:
        return f'images from {name}'
    return f'images of {name} {feature}' if name == 'medium' else f'{name} images'


class RobustnessConfig(StrictModel):
    """Accuracy on corrupted copies of test images."""

    images: int = Field(
        30, ge=0, description='maximum number of test images that are corrupted; 0: none'
    )


class EvaluationConfig(StrictModel):
    """What is measured on the test split, and the requirements for a blessing."""

    metric: Literal['accuracy', 'balanced_accuracy'] = Field(
        'accuracy',
        description='the metric that decides: it has the minimum and the comparison; the balanced '
        'accuracy is the mean recall of the classes',
    )
    minimum: Share | None = Field(
        None,
        description='minimum of the metric; null: it has to be better than always answering the '
        'most frequent class, which the lower end of its 95 % confidence interval shows',
    )
    margin: Share = Field(
        0.05,
        description='margin of the comparison with the reference model: a model that is not shown '
        'to be worse is pushed if its metric is at most this much lower, with 95 % confidence; 0: '
        'only a model that is shown to be better',
    )
    floors: dict[str, float] = Field(
        {},
        description='minimum accuracy in slices (class, class.NAME, brightness, brightness.dark), '
        'and limits of other metrics: macro_f1, auc, top_5_accuracy; log_loss, brier and ece are '
        'maximums',
    )
    min_images: int = Field(
        50, ge=1, description='the floor of a slice with fewer test images does not apply'
    )
    max_megabytes: float | None = Field(
        None, gt=0, description='maximum size of the SavedModel; null: any'
    )
    max_latency_ms: float | None = Field(
        None, gt=0, description='maximum median latency per image on one core; null: any'
    )
    robustness: RobustnessConfig = RobustnessConfig()

    @field_validator('floors')
    @classmethod
    def _floors_name_slices(cls, floors: dict[str, float]) -> dict[str, float]:
        for key, limit in floors.items():
            feature, dot, name = key.partition('.')
            if limit < 0 or (limit > 1 and key != LOG_LOSS):
                raise ValueError(f'{key}: {limit:g} is not between 0 and 1')
            if key not in METRICS and feature not in SLICED_BY:
                raise ValueError(
                    f'{key} is not a slice or a metric; slice by {", ".join(SLICED_BY)}; metrics '
                    f'are {", ".join(METRICS)}'
                )
            if dot and feature in SLICES and name not in SLICES[feature]:
                raise ValueError(f'{key}: {feature} has {", ".join(SLICES[feature])}')
        return floors

    @model_validator(mode='after')
    def _minimum_is_no_floor(self) -> 'EvaluationConfig':
        if self.metric in self.floors:
            raise ValueError(f'floors: {self.metric} is the metric that decides; set minimum')
        return self


def minimum_of(config: EvaluationConfig, images: Sequence[int]) -> tuple[str, float]:
    """Returns the name of the value with a minimum, and the minimum.

    The minimum is that of the recipe; or always answering the most frequent class reaches it, and
    the value is the lower end of the interval. `images` has the number of test images of each
    class.
    """
    if config.minimum is not None:
        return config.metric, config.minimum
    if config.metric == ACCURACY:
        return f'{config.metric}{LOW}', max(images, default=0) / max(sum(images), 1)
    return f'{config.metric}{LOW}', 1 / max(sum(number > 0 for number in images), 1)


def check_floors(config: EvaluationConfig, classes: Sequence[str]) -> None:
    """Raises ConfigError if a floor names a class, or a metric, that the data does not have."""
    for metric, least in LEAST_CLASSES.items():
        if metric in config.floors and len(classes) < least:
            raise ConfigError(
                f'evaluation.floors: {metric} needs {least} classes or more; the data has '
                f'{len(classes)}'
            )
    named = [key.partition('.')[2] for key in config.floors if key.startswith(f'{CLASS}.')]
    unknown = [name for name in named if name not in classes]
    if unknown:
        raise ConfigError(
            f'evaluation.floors: unknown class {", ".join(unknown)}; '
            f'the data has the classes {", ".join(classes)}'
        )
