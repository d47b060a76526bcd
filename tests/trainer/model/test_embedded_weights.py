"""Weights that lie in the repository: how they are written, found and loaded."""

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
    """Random weights; no vector is representable in float16."""
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
def elsewhere(tmp_path, monkeypatch):
    """Where the embedded weights are looked for during the test."""
    path = tmp_path / 'embedded.weights.h5'
    monkeypatch.setattr(weights, 'EMBEDDED_FILE', path)
    return path


def values_of(path) -> dict[str, np.ndarray]:
    """Values of a file of weights by layer and number, such as `Conv1/0`."""
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
def test_the_embedded_file_is_what_the_backbone_starts_from(image_size):
    loaded = layers_of(build_backbone(embedded(image_size)).whole)
    kept = values_of(weights.EMBEDDED_FILE)
    assert loaded.keys() == kept.keys()
    for name, value in loaded.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, kept[name])


def test_the_embedded_file_is_small():
    assert weights.EMBEDDED_FILE.stat().st_size < 2 * 2**20
    assert {str(each.dtype) for each in values_of(weights.EMBEDDED_FILE).values()} == {
        'float16',
        'float32',
    }


def test_a_compact_file_gives_kernels_rounded_and_vectors_as_they_were(
    model, compact_file, elsewhere
):
    compact_file.rename(elsewhere)
    loaded = build_backbone(embedded(image_size=64)).whole
    for before, after in zip(model.weights, loaded.weights, strict=True):
        value = before.numpy()
        rounded = value.astype(np.float16).astype(np.float32) if value.ndim > 1 else value
        assert after.dtype == 'float32'
        np.testing.assert_array_equal(after.numpy(), rounded)


def test_a_compact_file_has_kernels_in_half_precision_and_is_small(compact_file):
    kinds = {(each.ndim > 1, str(each.dtype)) for each in values_of(compact_file).values()}
    assert kinds == {(True, 'float16'), (False, 'float32')}
    assert compact_file.stat().st_size < 2 * 2**20


def test_the_same_weights_give_the_same_bytes(model, compact_file, tmp_path):
    other_size = keras.applications.MobileNetV2((64, 64, 3), 0.35, include_top=False, weights=None)
    other_size.set_weights(model.get_weights())
    save_compact(other_size, tmp_path / 'again.weights.h5')
    assert (tmp_path / 'again.weights.h5').read_bytes() == compact_file.read_bytes()


@pytest.mark.parametrize('value', [1e5, np.nan])
def test_a_kernel_that_half_precision_cannot_hold_leaves_the_file_as_it_was(value, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name='last')])
    path = tmp_path / 'w.weights.h5'
    save_compact(model, path)
    before = path.read_bytes()
    model.layers[0].kernel.assign([[1.0], [value]])
    with pytest.raises(ValueError, match='weights of last are not finite as float16'):
        save_compact(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_embedded_weights_that_are_not_there_are_told_in_one_sentence(elsewhere):
    with pytest.raises(ConfigError, match=rf'^embedded weights {elsewhere} are missing .* again$'):
        check_weights_file('embedded')
    with pytest.raises(ConfigError, match='are missing from this installation'):
        build_backbone(embedded())


def test_a_file_that_is_called_like_a_keyword_is_not_meant(elsewhere, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word in weights.KEYWORDS:
        (tmp_path / word).touch()
    assert weights.weights_file('embedded') == elsewhere
    assert weights.weights_file('random') is None
    assert str(weights.weights_file('./random')) == 'random'
