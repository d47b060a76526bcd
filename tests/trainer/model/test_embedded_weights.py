"""The embedded weights of the repository, and the compact format they are written in."""

import h5py
import keras
import numpy as np
import pytest

from common.errors import ConfigError
from pretraining.compact_weights import save_compact
from trainer.config.train import TrainConfig
from trainer.model import weights
from trainer.model.backbone import build_backbone
from trainer.model.weights import check_weights_file


def values_of(path) -> dict[str, np.ndarray]:
    """Reads a weights file; keys are layer and number, such as `Conv1/0`."""
    values = {}

    def collect(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            number = item.name.rpartition('/')[2]
            values[f'{item.parent.attrs["name"]}/{number}'] = item[()]

    with h5py.File(path) as file:
        file.visititems(collect)
    return values


def test_backbone_loads_embedded_weights():
    config = TrainConfig(image_size=64, alpha=0.35, weights='embedded')
    loaded = {
        f'{layer.name}/{number}': variable.numpy()
        for layer in build_backbone(config).model.layers
        for number, variable in enumerate(layer.weights)
    }
    stored = values_of(weights.EMBEDDED_FILE)
    assert loaded.keys() == stored.keys()
    for name, value in loaded.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, stored[name])
    assert weights.EMBEDDED_FILE.stat().st_size < 2 * 2**20


def test_compact_format_rounds_kernels_and_preserves_vectors(tmp_path):
    kinds = {(each.ndim > 1, str(each.dtype)) for each in values_of(weights.EMBEDDED_FILE).values()}
    assert kinds == {(True, 'float16'), (False, 'float32')}
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name='last')])
    path, values = tmp_path / 'w.weights.h5', [np.array([[0.1], [2.0]]), np.array([1e6])]
    model.set_weights(values)
    save_compact(model, path)
    before = path.read_bytes()
    save_compact(model, path)
    assert path.read_bytes() == before
    model.load_weights(path)
    np.testing.assert_array_equal(model.get_weights()[0], values[0].astype(np.float16))
    np.testing.assert_array_equal(model.get_weights()[1], values[1])
    for invalid in (1e5, np.nan):
        model.layers[0].kernel.assign([[1.0], [invalid]])
        with pytest.raises(ValueError, match='weights of last are not finite as float16'):
            save_compact(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_reports_missing_embedded_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, 'EMBEDDED_FILE', tmp_path / 'embedded.weights.h5')
    with pytest.raises(ConfigError, match=r'embedded.weights.h5 does not exist; install .* again'):
        check_weights_file('embedded')
