"""Weights of a network in half the bytes, as Keras lays them out."""

import tempfile
from pathlib import Path

import h5py
import keras
import numpy as np

# Small heads for groups and values, and every HDF5 since 1.8 reads them.
_LAYOUT = ('v108', 'v108')


def save_compact(model: keras.Model, path: Path) -> None:
    """Writes the weights of a model so that Keras's `load_weights` reads them.

    Kernels (two dimensions and more) are rounded to float16, vectors stay float32: moving variances
    reach too far for less. The same weights give the same bytes.

    Args:
        model: of float32 variables; nothing in it changes.
        path: ends with `.weights.h5`, as Keras wants it. A file that is there stays until the new
            one is whole.

    Raises:
        ValueError: the path ends otherwise, or a value is not finite in what it is kept as.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        complete, compact = Path(folder, path.name), Path(folder, 'compact')
        model.save_weights(complete)
        with h5py.File(complete) as source, h5py.File(compact, 'w', libver=_LAYOUT) as target:
            # Not the groups without values: names in them count what else this process has built.
            source.visititems(lambda name, item: _copy(name, item, target))
        compact.replace(path)


def _copy(name: str, item: h5py.Group | h5py.Dataset, target: h5py.File) -> None:
    if not isinstance(item, h5py.Dataset):
        return
    with np.errstate(over='ignore'):  # told below
        value = item[()].astype(np.float16 if item.ndim > 1 else np.float32)
    if not np.isfinite(value).all():
        layer = item.parent.attrs.get('name', item.parent.name)
        raise ValueError(f'weights of {layer} are not finite as {value.dtype}')
    target.create_dataset(name, data=value, track_times=False)
    target[name].parent.attrs.update(item.parent.attrs)
