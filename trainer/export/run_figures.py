"""Files for the report page: a table of the network and augmented views of one image."""

import itertools
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from pydantic import TypeAdapter

from common.features import AUGMENTED_VIEWS, NETWORK
from trainer.data.augmentation import make_augment
from trainer.model.network import Network
from trainer.results import NetworkPart
from trainer.training.job import Job

_ROWS, _COLUMNS = 2, 6  # of views


def write_network(directory: Path, network: Network) -> None:
    """Writes the parts of backbone and head as a JSON list of `NetworkPart`."""
    backbone = network.backbone
    trained = {layer.name for layer in backbone.model.layers[backbone.first_trained :]}
    weighted = [layer for layer in backbone.model.layers if layer.weights]
    shapes = [layer.output.shape for layer in weighted]
    sides = [shape[1] if len(shape) == 4 else 1 for shape in shapes]
    # A layer that weighs channels has one pixel; it counts to the layers behind it.
    sides = [*itertools.accumulate(reversed(sides), max)][::-1]
    by_side = itertools.groupby(zip(sides, weighted, strict=True), lambda pair: pair[0])
    parts = [_part(side, [layer for _, layer in group], trained) for side, group in by_side]
    dense = [layer for layer in network.head.layers if layer.weights]
    parts.append(_part(None, dense, {layer.name for layer in dense}))
    json = TypeAdapter(list[NetworkPart]).dump_json(parts, indent=1)
    (directory / NETWORK).write_bytes(json + b'\n')


def _part(size: int | None, layers: list[keras.Layer], trained: set[str]) -> NetworkPart:
    return NetworkPart(
        size=size,
        channels=layers[-1].output.shape[-1],
        layers=sum(not isinstance(layer, keras.layers.BatchNormalization) for layer in layers),
        parameters=sum(layer.count_params() for layer in layers),
        trained=sum(layer.count_params() for layer in layers if layer.name in trained),
    )


def write_augmented_views(directory: Path, job: Job) -> None:
    """Writes a training image and eleven augmented views of it, if augmentation is enabled."""
    config = job.config
    if not config.augment.active:
        return
    image, _ = next(iter(job.splits['train'].batches(1)))
    copies = tf.repeat(image, _ROWS * _COLUMNS - 1, axis=0)
    views = tf.cast(tf.round(make_augment(config.augment, config.seed)(copies)), tf.uint8)
    size = config.image_size
    grid = np.concatenate([image, views]).reshape(_ROWS, _COLUMNS, size, size, 3)
    sheet = grid.transpose(0, 2, 1, 3, 4).reshape(_ROWS * size, _COLUMNS * size, 3)
    file = directory / AUGMENTED_VIEWS
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(tf.io.encode_png(sheet).numpy())
