"""Configuration of the evaluation: `evaluation:` of a recipe."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from common.errors import ConfigError
from common.strict_model import StrictModel

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
        60,
        ge=0,
        description='maximum number of test images per corruption and severity; 0: not measured',
    )
    precision: float = Field(
        0.125,
        ge=0,
        le=0.5,
        description='a corruption and severity needs no more images when half the width of the '
        '95 % interval of its accuracy is at most this; 0: always all `images`',
    )


class EvaluationConfig(StrictModel):
    """What is measured on the test split, and the requirements for a blessing."""

    baseline_accuracy: Share | None = Field(
        None,
        description='minimum accuracy and balanced accuracy; null: 0.9 for two classes, 0.8 for '
        'three, 0.67 for six, 0.51 for a hundred, and for the accuracy at least the share of the '
        'most frequent class',
    )
    judge_by: Literal['value', 'lower bound'] = Field(
        'value',
        description='what has to reach baseline_accuracy and the floors: the measured accuracy, '
        'or the lower end of its 95 % confidence interval',
    )
    max_drop: Share = Field(
        0.02,
        description='margin of the comparison with the live model and the best model so far: the '
        'accuracy has to be shown to be at most this much lower, with 95 % confidence; 0: to be '
        'higher, which an equally good model reaches at most 5 % of the time',
    )
    max_balanced_drop: Share = Field(
        0.05,
        description='the same margin for the balanced accuracy, the mean recall of classes',
    )
    max_log_loss_rise: float = Field(
        0.1,
        ge=0,
        description='the same margin for the log loss; 0.1: the probability of the right class '
        'falls by a tenth',
    )
    undecided: Literal['keep', 'push'] = Field(
        'keep',
        description='what follows if the images are too few to decide a comparison: keep the live '
        'model, or push the new one',
    )
    floors: dict[str, Share] = Field(
        {}, description='minimum accuracy in slices: class, class.NAME, brightness, brightness.dark'
    )
    min_images: int = Field(
        50,
        ge=1,
        description='with fewer test images no model is blessed, and the floor of a slice with '
        'fewer is undecided: their accuracy is noise',
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
        for key in floors:
            feature, dot, name = key.partition('.')
            if feature not in SLICED_BY:
                raise ValueError(f'{key} is not a slice; slice by {", ".join(SLICED_BY)}')
            if dot and feature in SLICES and name not in SLICES[feature]:
                raise ValueError(f'{key}: {feature} has {", ".join(SLICES[feature])}')
        return floors


def check_floors(config: EvaluationConfig, classes: Sequence[str]) -> None:
    """Raises ConfigError if a floor names a class that the data does not have."""
    named = [key.partition('.')[2] for key in config.floors if key.startswith(f'{CLASS}.')]
    unknown = [name for name in named if name not in classes]
    if unknown:
        raise ConfigError(
            f'evaluation.floors: unknown class {", ".join(unknown)}; '
            f'the data has the classes {", ".join(classes)}'
        )
