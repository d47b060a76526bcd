"""What a model is, in a file beside its SavedModel. Imports neither TensorFlow nor TFX."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.artifacts import folder_of
from trainer.config.train import TrainConfig

CLASSES = 'classes'
_FOLDER = 'weights'  # in the Model artifact, beside the folder for serving
_DESCRIPTION = 'architecture.json'


def weights_folder(serving_directory: str) -> Path:
    """Where the weights of a model are, from where its SavedModel is, as TFX gives it."""
    return folder_of(serving_directory).parent / _FOLDER


def describe(config: TrainConfig, classes: Sequence[str]) -> dict[str, Any]:
    """What has to be equal for weights to fit and to mean the same; sizes of images do not."""
    return {
        'trainer.alpha': config.alpha,
        'trainer.head.hidden': list(config.head.hidden),
        CLASSES: list(classes),
    }


def write_description(description: dict[str, Any], folder: Path) -> None:
    """Writes a description to the folder of the weights."""
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1))


def read_description(folder: Path) -> dict[str, Any] | None:
    """The description in the folder of the weights; None if there is none that can be read."""
    try:
        return dict(json.loads((folder / _DESCRIPTION).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def classes_of(model: str) -> tuple[str, ...] | None:
    """Classes of the model in an artifact's folder, in the order of their labels.

    None if it does not say, as models from elsewhere and very old ones do not.
    """
    description = read_description(folder_of(model) / _FOLDER)
    classes = description.get(CLASSES) if description else None
    return None if classes is None else tuple(classes)
