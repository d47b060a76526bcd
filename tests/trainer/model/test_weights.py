"""Weights of a network: files, and those of the repository."""

import keras
import numpy as np
import pytest

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.model import weights
from trainer.model.backbone import build_backbone

DENSE = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
# Keras warns before it raises.
pytestmark = pytest.mark.filterwarnings('ignore:Skipping nested container:UserWarning')


def build(path):
    return build_backbone(TrainConfig(image_size=32, alpha=0.35, weights=str(path))).model


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda contents: contents, 'w.weights.h5 cannot be loaded into MobileNetV2 0.35 at 32'),
        (lambda contents: contents[:2000], 'OSError: .*truncated'),
        (lambda _: b'text', 'is not HDF5'),
        (None, r'w.weights.h5 does not exist; give HDF5 weights'),
    ],
    ids=['of another network', 'truncated', 'text', 'missing'],
)
def test_rejects_unusable_file(tmp_path, change, message):
    file = tmp_path / 'w.weights.h5'
    DENSE.save_weights(file)
    contents = file.read_bytes()
    file.unlink()
    if change:
        file.write_bytes(change(contents))
    with pytest.raises(ConfigError, match=message):
        build(file)


def test_backbone_loads_embedded_weights(monkeypatch, tmp_path):
    loaded, expected = (
        build_backbone(
            TrainConfig(image_size=32, alpha=0.35, weights=each, fine_tune={'batch_norm': 'train'})
        ).model
        for each in ('embedded', 'random')
    )
    expected.load_weights(weights.EMBEDDED_FILE)
    for variable, stored in zip(loaded.weights, expected.weights, strict=True):
        assert variable.dtype == 'float32'
        np.testing.assert_array_equal(variable, stored)
    monkeypatch.setattr(weights, 'EMBEDDED_FILE', tmp_path / 'embedded.weights.h5')
    with pytest.raises(ConfigError, match=r'embedded.weights.h5 does not exist; install .* again'):
        build('embedded')
