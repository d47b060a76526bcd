"""The embedded weights of the repository, and the compact format they are written in."""

import keras
import numpy as np
import pytest

from common.errors import ConfigError
from pretraining.compact_weights import save_compact
from trainer.config.train import TrainConfig
from trainer.model import weights
from trainer.model.backbone import build_backbone
from trainer.model.weights import check_weights_file


def test_backbone_loads_embedded_weights():
    config = TrainConfig(image_size=64, alpha=0.35, weights='embedded')
    loaded = build_backbone(config).model
    expected = build_backbone(config.model_copy(update={'weights': 'random'})).model
    expected.load_weights(weights.EMBEDDED_FILE)
    for variable, stored in zip(loaded.weights, expected.weights, strict=True):
        assert variable.dtype == 'float32'
        np.testing.assert_array_equal(variable, stored)


def test_compact_format_rounds_kernels_and_preserves_vectors(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name='last')])
    path, values = tmp_path / 'w.weights.h5', [np.array([[0.1], [2.0]]), np.array([1e6])]
    model.set_weights(values)
    save_compact(model, path)
    before = path.read_bytes()
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
