"""Warm start: initialises a network with the weights of the latest blessed model.

Keras cannot load a SavedModel as a trainable model. Every training therefore also writes its
weights in Keras's format, with a description of the architecture that they fit.
"""

from collections.abc import Sequence
from pathlib import Path

from common.errors import ModelError
from trainer.config.train import TrainConfig
from trainer.model.description import describe, read_description, weights_folder, write_description
from trainer.training.stages import Network

_BACKBONE, _HEAD = 'backbone.weights.h5', 'head.weights.h5'


def save_weights(
    network: Network, config: TrainConfig, classes: Sequence[str], folder: Path
) -> None:
    """Writes the weights and the architecture description of a trained network."""
    folder.mkdir(parents=True, exist_ok=True)
    network.backbone.model.save_weights(folder / _BACKBONE)
    network.head.save_weights(folder / _HEAD)
    write_description(describe(config, classes), folder)


def load_weights(
    network: Network, config: TrainConfig, classes: Sequence[str], base_model: str | None
) -> Path:
    """Loads the weights of a base model into a network of the same architecture.

    Args:
        network: changed in place, or unchanged after an error.
        config: of the network.
        classes: names in the order of their labels.
        base_model: path of the SavedModel, from TFX; None if there is none.

    Returns:
        The folder of the artifact with the weights.

    Raises:
        ModelError: there is no base model, its weights are missing or corrupted, or its
            architecture differs; the message lists the differences.
    """
    if not base_model:
        raise ModelError('no model has been blessed yet')
    folder = weights_folder(base_model)
    before = read_description(folder)
    if before is None:
        raise ModelError(f'the last blessed model has no weights in {folder}')
    differences = [
        f'{key} was {before.get(key)} and is {value}'
        for key, value in describe(config, classes).items()
        if before.get(key) != value
    ]
    if differences:
        raise ModelError(f'the last blessed model differs: {"; ".join(differences)}')
    models = network.backbone.model, network.head
    initial = [model.get_weights() for model in models]
    try:
        for model, name in zip(models, (_BACKBONE, _HEAD), strict=True):
            model.load_weights(folder / name)
    except (OSError, ValueError, KeyError) as error:
        for model, weights in zip(models, initial, strict=True):
            model.set_weights(weights)
        raise ModelError(f'the weights in {folder} cannot be read') from error
    return folder.parent
