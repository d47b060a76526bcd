"""How a model is judged: the `evaluation:` part of a recipe. Imports no TensorFlow and no TFX."""

from collections.abc import Sequence

from pydantic import Field, field_validator

from common.errors import ConfigError
from common.strict_model import StrictModel


class SliceEdges(StrictModel):
    """Where the numbers of an image are cut into slices, three for each measure.

    A number below the first edge is in the first slice, one from the second edge on in the third.
    Units are those of the features in the records.
    """

    brightness: tuple[float, float] = Field((0.4, 0.55), description='dark, medium, bright')
    sharpness: tuple[float, float] = Field((6.0, 7.25), description='blurred, medium, sharp')
    size: tuple[float, float] = Field(
        (0.1, 0.18), description='small, medium, large, in megapixels'
    )
    aspect: tuple[float, float] = Field(
        (0.9, 1.1), description='tall, square, wide: width over height'
    )

    @field_validator('*')
    @classmethod
    def _edges_rise(cls, edges: tuple[float, float]) -> tuple[float, float]:
        if not edges[0] < edges[1]:
            raise ValueError('the second edge should be above the first')
        return edges


# What the slices of a measure are called, lowest first.
SLICES = {
    'brightness': ('dark', 'medium', 'bright'),
    'sharpness': ('blurred', 'medium', 'sharp'),
    'size': ('small', 'medium', 'large'),
    'aspect': ('tall', 'square', 'wide'),
}
CLASS, SOURCE = 'class', 'source'  # slices by what a record says, not by a number
SLICED_BY = (CLASS, *SLICES, SOURCE)


class RobustnessConfig(StrictModel):
    """Accuracy on corrupted copies of test images."""

    images: int = Field(
        100, ge=0, description='of test, for each corruption and severity; 0: no such copies'
    )


class EvaluationConfig(StrictModel):
    """What is measured on the test split, and what a model needs to be blessed."""

    baseline_accuracy: float = Field(0.9, ge=0, le=1, description='lowest accuracy that is blessed')
    max_drop: float = Field(
        0.0, ge=0, le=1, description='how much worse than the last blessed model it may be'
    )
    floors: dict[str, float] = Field(
        {}, description='lowest accuracy in slices: class, class.NAME, brightness, brightness.dark'
    )
    min_images: int = Field(
        50, ge=1, description='a slice with fewer images has no vote: its accuracy is noise'
    )
    max_megabytes: float | None = Field(None, gt=0, description='of the SavedModel; none: any')
    max_latency_ms: float | None = Field(
        None, gt=0, description='median for one image on one core; none: any'
    )
    edges: SliceEdges = SliceEdges()
    robustness: RobustnessConfig = RobustnessConfig()

    @field_validator('floors')
    @classmethod
    def _floors_name_slices(cls, floors: dict[str, float]) -> dict[str, float]:
        for key, floor in floors.items():
            feature, dot, name = key.partition('.')
            if feature not in SLICED_BY:
                raise ValueError(f'{key} is no slice; slices are by {", ".join(SLICED_BY)}')
            if dot and feature in SLICES and name not in SLICES[feature]:
                raise ValueError(f'{key}: {feature} has {", ".join(SLICES[feature])}')
            if not 0 <= floor <= 1:
                raise ValueError(f'{key}: {floor} is not between 0 and 1')
        return floors


def check_floors(config: EvaluationConfig, classes: Sequence[str]) -> None:
    """Checks that floors by name are for classes of the data: one for another would bind nothing.

    Raises:
        ConfigError: one is for a class that the data does not have.
    """
    named = [key.partition('.')[2] for key in config.floors if key.startswith(f'{CLASS}.')]
    unknown = [name for name in named if name not in classes]
    if unknown:
        raise ConfigError(
            f'evaluation.floors names the class {", ".join(unknown)}; '
            f'the data has the classes {", ".join(classes)}'
        )
