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


def embedded(image_size: int = 32) -> TrainConfig:
    return TrainConfig(image_size=image_size, alpha=0.35, weights='embedded')


@pytest.fixture(scope='module')
def model() -> keras.Model:
    """A network with random weights; no vector is representable in float16."""
    keras.utils.set_random_seed(0)
    shape = (32, 32, 3)
    built = keras.applications.MobileNetV2(shape, alpha=0.35, include_top=False, weights=None)
    random = np.random.default_rng(0)
    for layer in built.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.1, 1e6, each.shape) for each in layer.weights])
    return built


@pytest.fixture
def compact_file(model, tmp_path):
    save_compact(model, tmp_path / 'compact.weights.h5')
    return tmp_path / 'compact.weights.h5'


@pytest.fixture
def embedded_file(tmp_path, monkeypatch):
    """A path that replaces that of the embedded weights; the file does not exist."""
    path = tmp_path / 'embedded.weights.h5'
    monkeypatch.setattr(weights, 'EMBEDDED_FILE', path)
    return path


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


def layers_of(loaded: keras.Model) -> dict[str, np.ndarray]:
    return {
        f'{layer.name}/{number}': variable.numpy()
        for layer in loaded.layers
        for number, variable in enumerate(layer.weights)
    }


@pytest.mark.parametrize('image_size', [32, 96])
def test_backbone_loads_embedded_weights(image_size):
    loaded = layers_of(build_backbone(embedded(image_size)).model)
    stored = values_of(weights.EMBEDDED_FILE)
    assert loaded.keys() == stored.keys()
    for name, value in loaded.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, stored[name])


def test_compact_format_rounds_kernels_and_preserves_vectors(model, compact_file, embedded_file):
    compact_file.rename(embedded_file)
    loaded = build_backbone(embedded(image_size=64)).model
    for before, after in zip(model.weights, loaded.weights, strict=True):
        value = before.numpy()
        rounded = value.astype(np.float16).astype(np.float32) if value.ndim > 1 else value
        assert after.dtype == 'float32'
        np.testing.assert_array_equal(after.numpy(), rounded)


@pytest.mark.parametrize('which', ['embedded', 'compact'])
def test_compact_file_is_small_with_float16_kernels(which, compact_file):
    path = weights.EMBEDDED_FILE if which == 'embedded' else compact_file
    kinds = {(each.ndim > 1, str(each.dtype)) for each in values_of(path).values()}
    assert kinds == {(True, 'float16'), (False, 'float32')}
    assert path.stat().st_size < 2 * 2**20


def test_compact_file_is_reproducible(model, compact_file, tmp_path):
    other_size = keras.applications.MobileNetV2((64, 64, 3), 0.35, include_top=False, weights=None)
    other_size.set_weights(model.get_weights())
    save_compact(other_size, tmp_path / 'again.weights.h5')
    assert (tmp_path / 'again.weights.h5').read_bytes() == compact_file.read_bytes()


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


@pytest.mark.parametrize(
    'check', [lambda: check_weights_file('embedded'), lambda: build_backbone(embedded())]
)
def test_reports_missing_embedded_weights(embedded_file, check):
    with pytest.raises(ConfigError, match=f'^embedded weights {embedded_file} are missing .*again'):
        check()


def test_keywords_take_precedence_over_files(embedded_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word in weights.KEYWORDS:
        (tmp_path / word).touch()
    assert weights.weights_file('embedded') == embedded_file
    assert weights.weights_file('random') is None
    assert str(weights.weights_file('./random')) == 'random'
