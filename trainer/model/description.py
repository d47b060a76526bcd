"""Description of a model, stored next to its weights. Imports neither TensorFlow nor TFX."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.artifacts import folder_of
from common.strict_model import StrictModel
from trainer.config.train import TrainConfig

_FOLDER = 'weights'  # in the Model artifact, next to the SavedModel
_DESCRIPTION = 'architecture.json'


class NetworkPart(StrictModel):
    """Consecutive layers of a network: one size of feature maps, or the head.

    Attributes:
        size: height and width of the feature maps in pixels; None for the head.
        channels: of the last layer.
        layers: number of convolutions or dense layers.
        parameters: of all layers, with those of batch norm.
        trained: the number of them in layers that the recipe trains.
    """

    size: int | None
    channels: int
    layers: int
    parameters: int
    trained: int


def weights_folder(serving_directory: str) -> Path:
    """Returns the folder of a model's weights, given the SavedModel's path from TFX."""
    return folder_of(serving_directory).parent / _FOLDER


def describe(config: TrainConfig, classes: Sequence[str]) -> dict[str, Any]:
    """Returns the properties that two models must share to exchange weights.

    The image size is not among them.
    """
    return {
        'trainer.alpha': config.alpha,
        'trainer.head.hidden': list(config.head.hidden),
        'classes': list(classes),
    }


def write_description(description: dict[str, Any], folder: Path) -> None:
    """Writes a description to the folder of the weights."""
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1))


def read_description(folder: Path) -> dict[str, Any] | None:
    """Reads the description in the folder of the weights; None if missing or invalid."""
    try:
        return dict(json.loads((folder / _DESCRIPTION).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def classes_of(model: str) -> tuple[str, ...] | None:
    """Reads the classes of a model, in the order of their labels, from its artifact folder.

    None if the model has no description, for example because it is imported or very old.
    """
    classes = (read_description(folder_of(model) / _FOLDER) or {}).get('classes')
    return None if classes is None else tuple(classes)
