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


def small_network(side: int) -> keras.Model:
    """A network with random weights; no vector is representable in float16."""
    keras.utils.set_random_seed(0)
    convolution, norm = keras.layers.Conv2D(8, 3, use_bias=False), keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((side, side, 3)), convolution, norm])
    random = np.random.default_rng(0)
    norm.set_weights([random.uniform(0.1, 1e6, each.shape) for each in norm.weights])
    return model


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
    model, loaded = small_network(8), small_network(16)
    for variable in loaded.weights:
        variable.assign(np.zeros(variable.shape))
    save_compact(model, tmp_path / 'compact.weights.h5')
    loaded.load_weights(tmp_path / 'compact.weights.h5')
    for before, after in zip(model.weights, loaded.weights, strict=True):
        value = before.numpy()
        rounded = value.astype(np.float16).astype(np.float32) if value.ndim > 1 else value
        np.testing.assert_array_equal(after.numpy(), rounded)
    kinds = {(each.ndim > 1, str(each.dtype)) for each in values_of(weights.EMBEDDED_FILE).values()}
    assert kinds == {(True, 'float16'), (False, 'float32')}
    save_compact(model, tmp_path / 'again.weights.h5')
    files = [(tmp_path / f'{name}.weights.h5').read_bytes() for name in ('compact', 'again')]
    assert files[0] == files[1]


@pytest.mark.parametrize('value', [1e5, np.nan])
def test_kernel_outside_float16_range_leaves_file_unchanged(value, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name='last')])
    path = tmp_path / 'w.weights.h5'
    save_compact(model, path)
    before = path.read_bytes()
    model.layers[0].kernel.assign([[1.0], [value]])
    with pytest.raises(ValueError, match='weights of last are not finite as float16'):
        save_compact(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_keywords_take_precedence_over_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word in weights.KEYWORDS:
        (tmp_path / word).touch()
    assert weights.weights_file('embedded') == weights.EMBEDDED_FILE
    assert weights.weights_file('random') is None
    assert str(weights.weights_file('./random')) == 'random'


def test_reports_missing_embedded_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, 'EMBEDDED_FILE', tmp_path / 'embedded.weights.h5')
    with pytest.raises(ConfigError, match=r'embedded.weights.h5 does not exist; install .* again'):
        check_weights_file('embedded')
