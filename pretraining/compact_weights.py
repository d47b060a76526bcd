"""Writes the weights of a network in Keras's HDF5 layout, with half the bytes."""

import tempfile
from pathlib import Path

import h5py
import keras
import numpy as np

# Compact headers, which every HDF5 since 1.8 reads.
_LAYOUT = ('v108', 'v108')


def save_compact(model: keras.Model, path: Path) -> None:
    """Writes the weights of a model in a file for Keras's `load_weights`.

    Kernels (two dimensions and more) are rounded to float16. Vectors stay float32 because moving
    variances exceed the range of float16.

    Args:
        model: a model with float32 variables; it is not changed.
        path: ends with `.weights.h5`, as Keras requires. An existing file is replaced
            atomically.

    Raises:
        ValueError: the path has another suffix, or a value is not finite in its stored dtype.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        complete, compact = Path(folder, path.name), Path(folder, 'compact')
        model.save_weights(complete)
        with h5py.File(complete) as source, h5py.File(compact, 'w', libver=_LAYOUT) as target:
            # Skips groups without values: their names depend on other models of this process.
            source.visititems(lambda name, item: _copy(name, item, target))
        compact.replace(path)


def _copy(name: str, item: h5py.Group | h5py.Dataset, target: h5py.File) -> None:
    if not isinstance(item, h5py.Dataset):
        return
    with np.errstate(over='ignore'):  # reported below
        value = item[()].astype(np.float16 if item.ndim > 1 else np.float32)
    if not np.isfinite(value).all():
        layer = item.parent.attrs.get('name', item.parent.name)
        raise ValueError(f'weights of {layer} are not finite as {value.dtype}')
    target.create_dataset(name, data=value, track_times=False)
    target[name].parent.attrs.update(item.parent.attrs)
