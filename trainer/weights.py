"""Is a file of weights one? Answers without TensorFlow."""

from pathlib import Path

import h5py

KEYWORDS = ('imagenet', 'random')


class WeightsError(ValueError):
    """Weights, or a layer of the backbone, that cannot be used; one sentence for a person."""


def check_weights_file(weights: str) -> None:
    """Checks what `trainer.weights` names, as far as that goes without building a network.

    Raises:
        WeightsError: it is a path, and there is no HDF5 file.
    """
    if weights in KEYWORDS:
        return
    path = Path(weights)
    if not path.is_file():
        raise WeightsError(
            f"weights file {path} does not exist; give HDF5 of Keras, 'imagenet' or 'random'"
        )
    if not h5py.is_hdf5(path):
        raise WeightsError(f'weights file {path} is not HDF5; give weights as Keras saves them')
