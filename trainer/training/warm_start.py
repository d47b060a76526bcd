"""Continuing from the model that was blessed last: its weights, kept beside its SavedModel.

A SavedModel cannot be loaded as a Keras model again, so every training also leaves the weights as
Keras saves them, with a description of the architecture that they fit.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import ModelError
from trainer.config.train import TrainConfig
from trainer.model.architecture import describe, read_description, weights_folder, write_description
from trainer.training.stages import Network

_BACKBONE, _HEAD = 'backbone.weights.h5', 'head.weights.h5'


def save_weights(
    network: Network, config: TrainConfig, classes: Sequence[str], folder: Path
) -> None:
    """Writes weights and architecture of a trained network for a later training."""
    folder.mkdir(parents=True, exist_ok=True)
    network.backbone.whole.save_weights(folder / _BACKBONE)
    network.head.save_weights(folder / _HEAD)
    write_description(describe(config, classes), folder)


def load_weights(
    network: Network, config: TrainConfig, classes: Sequence[str], base_model: str | None
) -> Path:
    """Puts the weights of a base model into a network of the same architecture.

    Args:
        network: changed in place, unless this raises.
        config: what the network was built from.
        classes: names in the order of their labels.
        base_model: the folder of the SavedModel, as TFX gives it; None if there is none.

    Returns:
        The folder of the artifact that the weights came from.

    Raises:
        ModelError: there is no base model, its weights are gone or damaged, or its architecture
            differs; the differences are named.
    """
    if not base_model:
        raise ModelError('no model has been blessed yet')
    folder = weights_folder(base_model)
    before = read_description(folder)
    if before is None:
        raise ModelError(f'the last blessed model has no weights in {folder}')
    differences = _differences(before, describe(config, classes))
    if differences:
        raise ModelError(f'the last blessed model differs: {"; ".join(differences)}')
    start = [model.get_weights() for model in (network.backbone.whole, network.head)]
    try:
        network.backbone.whole.load_weights(folder / _BACKBONE)
        network.head.load_weights(folder / _HEAD)
    except (OSError, ValueError, KeyError) as error:
        for model, weights in zip((network.backbone.whole, network.head), start, strict=True):
            model.set_weights(weights)
        raise ModelError(f'the weights in {folder} cannot be read') from error
    return folder.parent


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f'{key} was {before.get(key)} and is {value}'
        for key, value in now.items()
        if before.get(key) != value
    ]
