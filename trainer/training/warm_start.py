"""Warm start: initialises a network with the weights of the live model.

Keras cannot load a SavedModel as a trainable model. Every training therefore also writes its
weights in Keras's format, with a description of the architecture that they fit, and of how images
were divided into splits: after a change, the weights would have seen images of the new test split.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from common.artifacts import folder_of
from common.errors import ModelError
from trainer.config.train import TrainConfig
from trainer.model.network import Network
from trainer.training.trained_images import index_file, read_trained_images

_DESCRIPTION = 'architecture.json'


def weights_folder(serving_directory: str) -> Path:
    """Returns the folder of a model's weights, given the SavedModel's path from TFX."""
    return folder_of(serving_directory).parent / 'weights'


def describe(
    config: TrainConfig, classes: Sequence[str], splitting: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the properties that two models must share to exchange weights, by name."""
    return {
        'trainer.backbone': config.model or config.backbone,
        'trainer.alpha': config.alpha,
        'trainer.head.hidden': list(config.head.hidden),
        'classes': list(classes),
        **splitting,
    }


def save_weights(network: Network, description: Mapping[str, Any], folder: Path) -> None:
    """Writes the weights of a trained network, and their description."""
    folder.mkdir(parents=True, exist_ok=True)
    for model, file in _files(network, folder):
        model.save_weights(file)
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1))


def load_weights(network: Network, description: Mapping[str, Any], base_model: str | None) -> Path:
    """Loads the weights of a base model, the path of a SavedModel; returns its artifact's folder.

    Raises ModelError, and leaves the network unchanged, if there is no base model, its weights or
    its index of training images are missing or corrupted, or its description differs.
    """
    if not base_model:
        raise ModelError('no model has been blessed yet')
    folder = weights_folder(base_model)
    try:
        before = dict(json.loads((folder / _DESCRIPTION).read_text()))
    except (OSError, ValueError, TypeError):
        raise ModelError(f'the live model has no weights in {folder}') from None
    differences = [
        f'{key} was {before.get(key, "unknown")} and is {value}'
        for key, value in description.items()
        if before.get(key) != value
    ]
    if differences:
        raise ModelError(f'the live model differs: {"; ".join(differences)}')
    if read_trained_images(folder.parent) is None:
        raise ModelError(f'the live model has no {index_file(base_model)}')
    initial = [model.get_weights() for model, _ in _files(network, folder)]
    try:
        for model, file in _files(network, folder):
            model.load_weights(file)
    except (OSError, ValueError, KeyError) as error:
        for (model, _), weights in zip(_files(network, folder), initial, strict=True):
            model.set_weights(weights)
        raise ModelError(f'the weights in {folder} cannot be read') from error
    return folder.parent


def _files(network: Network, folder: Path) -> list[tuple[keras.Model, Path]]:
    names = {'backbone': network.backbone.model, 'head': network.head}
    return [(model, folder / f'{name}.weights.h5') for name, model in names.items()]
