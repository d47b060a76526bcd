"""Warm start: initialises a network with the weights of the latest blessed model.

Keras cannot load a SavedModel as a trainable model. Every training therefore also writes its
weights in Keras's format, with a description of the architecture that they fit.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from common.artifacts import folder_of
from common.errors import ModelError
from trainer.config.train import TrainConfig
from trainer.model.network import Network

_DESCRIPTION = 'architecture.json'


def weights_folder(serving_directory: str) -> Path:
    """Returns the folder of a model's weights, given the SavedModel's path from TFX."""
    return folder_of(serving_directory).parent / 'weights'


def save_weights(
    network: Network, config: TrainConfig, classes: Sequence[str], folder: Path
) -> None:
    """Writes the weights of a trained network, and their description."""
    folder.mkdir(parents=True, exist_ok=True)
    for model, file in _files(network, folder):
        model.save_weights(file)
    (folder / _DESCRIPTION).write_text(json.dumps(_describe(config, classes), indent=1))


def load_weights(
    network: Network, config: TrainConfig, classes: Sequence[str], base_model: str | None
) -> Path:
    """Loads the weights of a base model, the path of a SavedModel; returns its artifact's folder.

    Raises ModelError, and leaves the network unchanged, if there is no base model, its weights are
    missing or corrupted, or its architecture or classes differ.
    """
    if not base_model:
        raise ModelError('no model has been blessed yet')
    folder = weights_folder(base_model)
    try:
        before = dict(json.loads((folder / _DESCRIPTION).read_text()))
    except (OSError, ValueError, TypeError):
        raise ModelError(f'the last blessed model has no weights in {folder}') from None
    differences = [
        f'{key} was {before.get(key)} and is {value}'
        for key, value in _describe(config, classes).items()
        if before.get(key) != value
    ]
    if differences:
        raise ModelError(f'the last blessed model differs: {"; ".join(differences)}')
    initial = [model.get_weights() for model, _ in _files(network, folder)]
    try:
        for model, file in _files(network, folder):
            model.load_weights(file)
    except (OSError, ValueError, KeyError) as error:
        for (model, _), weights in zip(_files(network, folder), initial, strict=True):
            model.set_weights(weights)
        raise ModelError(f'the weights in {folder} cannot be read') from error
    return folder.parent


def _describe(config: TrainConfig, classes: Sequence[str]) -> dict[str, Any]:
    """Returns the properties that two models must share to exchange weights."""
    return {
        'trainer.alpha': config.alpha,
        'trainer.head.hidden': list(config.head.hidden),
        'classes': list(classes),
    }


def _files(network: Network, folder: Path) -> list[tuple[keras.Model, Path]]:
    names = {'backbone': network.backbone.model, 'head': network.head}
    return [(model, folder / f'{name}.weights.h5') for name, model in names.items()]
