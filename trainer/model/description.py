"""Descriptions of a model, stored as JSON next to it. Imports neither TensorFlow nor TFX."""

import json
from pathlib import Path
from typing import Any

from common.artifacts import folder_of
from common.strict_model import StrictModel

_FOLDER = 'weights'  # in the Model artifact, next to the SavedModel
DESCRIPTION = 'architecture.json'


class NetworkPart(StrictModel):
    """Consecutive layers of a network: one size of feature maps, or the head."""

    size: int | None  # height and width of the feature maps in pixels; None for the head
    channels: int  # of the last layer
    layers: int  # convolutions or dense layers
    parameters: int  # with those of batch norm
    trained: int  # parameters of the layers that the recipe trains


def weights_folder(serving_directory: str) -> Path:
    """Returns the folder of a model's weights, given the SavedModel's path from TFX."""
    return folder_of(serving_directory).parent / _FOLDER


def read_description(folder: Path) -> dict[str, Any] | None:
    """Reads the description in the folder of the weights; None if missing or invalid."""
    try:
        return dict(json.loads((folder / DESCRIPTION).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def classes_of(model: str) -> tuple[str, ...] | None:
    """Reads the classes of a model, in the order of their labels, from its artifact folder.

    None if the model has no description, for example because it is imported or very old.
    """
    classes = (read_description(folder_of(model) / _FOLDER) or {}).get('classes')
    return None if classes is None else tuple(classes)
