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


def right_name(path: Path) -> str | None:
    """Returns a name by which Keras recognizes the format of an HDF5 file; None if it has one."""
    with h5py.File(path) as file:
        is_legacy = 'layer_names' in file.attrs or 'model_weights' in file
    suffixes = ('.h5', '.hdf5') if is_legacy else ('.weights.h5',)
    is_named_legacy = not path.name.endswith('.weights.h5')
    if path.name.endswith(suffixes) and is_named_legacy == is_legacy:
        return None
    return path.name.partition('.')[0] + suffixes[0]


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
