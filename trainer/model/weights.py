"""Resolves and checks `trainer.weights`. Imports neither TensorFlow nor TFX."""

from pathlib import Path

import h5py

from common.errors import ConfigError
from common.redaction import redacted
from trainer.config.train import NAMED_WEIGHTS

EMBEDDED_FILE = Path(__file__).parent / 'embedded' / 'mobilenet_v2_0.35.weights.h5'


def weights_file(weights: str) -> Path | None:
    """Returns the file that `trainer.weights` refers to; None for 'imagenet' and 'random'."""
    if weights == 'embedded':
        return EMBEDDED_FILE
    return None if weights in NAMED_WEIGHTS else Path(weights)


def check_weights_file(weights: str) -> None:
    """Raises ConfigError if the file of `trainer.weights` is missing or not HDF5."""
    path = weights_file(weights)
    if path is None:
        return
    if not path.is_file():
        remedy = "give HDF5 weights of Keras, 'embedded', 'imagenet' or 'random'"
        if weights == 'embedded':
            remedy = 'install this package again'
        raise ConfigError(f'weights file {redacted(str(path))} does not exist; {remedy}')
    if not h5py.is_hdf5(path):
        raise ConfigError(f'weights file {path} is not HDF5; give weights saved by Keras')
