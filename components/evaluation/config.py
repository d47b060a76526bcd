"""Configuration of the evaluation: `evaluation:` of a recipe."""

from collections.abc import Sequence
from typing import Annotated

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
        100, ge=0, description='test images per corruption and severity; 0: not measured'
    )


class EvaluationConfig(StrictModel):
    """What is measured on the test split, and the requirements for a blessing."""

    baseline_accuracy: Share = Field(0.9, description='minimum accuracy')
    max_drop: Share = Field(0.0, description='maximum drop of accuracy from the last blessed model')
    floors: dict[str, Share] = Field(
        {}, description='minimum accuracy in slices: class, class.NAME, brightness, brightness.dark'
    )
    min_images: int = Field(
        50, ge=1, description='floors of smaller slices are not enforced: their accuracy is noise'
    )
    max_megabytes: float | None = Field(
        None, gt=0, description='maximum size of the SavedModel; none: any'
    )
    max_latency_ms: float | None = Field(
        None, gt=0, description='maximum median latency per image on one core; none: any'
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
