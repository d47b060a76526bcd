"""Which file of weights a recipe means, and is it one? Answers without TensorFlow."""

from pathlib import Path

import h5py

from common.errors import ConfigError

EMBEDDED_FILE = Path(__file__).parent / 'embedded' / 'mobilenet_v2_0.35.weights.h5'
KEYWORDS = ('embedded', 'imagenet', 'random')


def weights_file(weights: str) -> Path | None:
    """The file that `trainer.weights` stands for; None for 'imagenet' and 'random'."""
    if weights == 'embedded':
        return EMBEDDED_FILE
    return None if weights in KEYWORDS else Path(weights)


def check_weights_file(weights: str) -> None:
    """Checks what `trainer.weights` names, as far as that goes without building a network.

    Raises:
        ConfigError: it stands for a file, and there is no HDF5 file.
    """
    path = weights_file(weights)
    if path is None:
        return
    if not path.is_file():
        raise ConfigError(_missing(path))
    if not h5py.is_hdf5(path):
        raise ConfigError(f'weights file {path} is not HDF5; give weights as Keras saves them')


def _missing(path: Path) -> str:
    if path == EMBEDDED_FILE:
        return f'embedded weights {path} are missing from this installation; install it again'
    return (
        f"weights file {path} does not exist; give HDF5 of Keras, 'embedded', 'imagenet' or "
        "'random'"
    )
