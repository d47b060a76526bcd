"""Warm start: initialises a network with the weights of a version, or of an exported Keras model.

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
from common.files import UNREADABLE
from trainer.model.network import Network
from trainer.training.trained_images import TRAINED_ON, index_file, read_trained_images

_DESCRIPTION = 'architecture.json'
_LABELS = 'labels.txt'  # next to a Keras model: class names in the order of their labels


def weights_folder(serving_directory: str) -> Path:
    """Returns the folder of a model's weights, given the SavedModel's path from TFX."""
    return folder_of(serving_directory).parent / 'weights'


def save_weights(network: Network, description: Mapping[str, Any], folder: Path) -> None:
    """Writes the weights of a trained network, and their description."""
    folder.mkdir(parents=True, exist_ok=True)
    network.backbone.update_original()
    for model, file in _files(network, folder):
        model.save_weights(file)
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1))


def load_weights(network: Network, description: Mapping[str, Any], base_model: str) -> Path:
    """Loads the weights of a base model, the path of a SavedModel; returns its artifact's folder.

    Raises ModelError if its weights or its index of training images are missing or corrupted, or
    its description differs.
    """
    folder = weights_folder(base_model)
    try:
        before = dict(json.loads((folder / _DESCRIPTION).read_text()))
    except (OSError, ValueError, TypeError):
        raise ModelError(f'the model has no weights in {folder}') from None
    differences = [
        f'{key} was {before.get(key, "unknown")} and is {value}'
        for key, value in description.items()
        if before.get(key) != value
    ]
    if differences:
        raise ModelError(f'the model differs: {"; ".join(differences)}')
    if read_trained_images(folder.parent) is None:
        raise ModelError(f'the model has no {index_file(base_model)}')
    try:
        for model, file in _files(network, folder):
            model.load_weights(file)
        network.backbone.take_original()
    except UNREADABLE as error:
        raise ModelError(f'the weights in {folder} cannot be read') from error
    return folder.parent


def load_keras_file(network: Network, classes: Sequence[str], file: Path) -> None:
    """Loads the weights of a model that `export --to keras` wrote.

    Raises ModelError if the file, its class names or its index of training images are missing or
    cannot be read, or classes or layers differ.
    """
    if read_trained_images(file.parent) is None:
        raise ModelError(f'{file} has no {TRAINED_ON} next to it, which tells its training images')
    try:
        names = (file.parent / _LABELS).read_text(encoding='utf-8').splitlines()
        before = keras.saving.load_model(file, compile=False)
        if names != [*classes]:
            raise ValueError(f'its classes are {", ".join(names)}')
        parts = [layer for layer in before.layers if isinstance(layer, keras.Model)]
        for model, part in zip((network.backbone.original, network.head), parts, strict=True):
            model.set_weights(part.get_weights())
        network.backbone.take_original()
    except (*UNREADABLE, TypeError) as error:
        reason = str(error).partition('\n')[0]
        raise ModelError(f'a warm start from {file} is impossible: {reason}') from error


def _files(network: Network, folder: Path) -> list[tuple[keras.Model, Path]]:
    names = {'backbone': network.backbone.original, 'head': network.head}
    return [(model, folder / f'{name}.weights.h5') for name, model in names.items()]
