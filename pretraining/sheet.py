"""A contact sheet of scenes at several difficulties."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from pretraining.collection import Collection
from pretraining.scenes import Drawings, compose

_ROWS, _COLUMNS, _SIZE = 3, 12, 96
DIFFICULTIES = (0.0, 0.5, 1.0)


def write_sheet(collection: Collection, seed: int, file: Path) -> None:
    """Writes a PNG with three rows of scenes for each of `DIFFICULTIES`."""
    rng, count = np.random.default_rng(seed), _ROWS * _COLUMNS
    rows = []
    for number, difficulty in enumerate(DIFFICULTIES):
        drawings = Drawings(
            *(
                kind[rng.integers(len(kind), size=count), rng.integers(kind.shape[1], size=count)]
                for kind in (collection.figures, collection.textures, collection.textures)
            )
        )
        chance = tf.constant([seed * 1000, number], tf.int32)
        scenes = compose(drawings, _SIZE, chance, tf.constant(difficulty)).numpy()
        pixels = np.round((scenes + 1) * 127.5).astype(np.uint8)
        grid = pixels.reshape(_ROWS, _COLUMNS, _SIZE, _SIZE, 3).swapaxes(1, 2)
        rows.append(grid.reshape(_ROWS * _SIZE, _COLUMNS * _SIZE, 3))
    Image.fromarray(np.concatenate(rows)).save(file, 'PNG')
