"""The embedded weights of the repository."""

import numpy as np
import pytest

from common.errors import ConfigError
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


def test_reports_missing_embedded_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, 'EMBEDDED_FILE', tmp_path / 'embedded.weights.h5')
    with pytest.raises(ConfigError, match=r'embedded.weights.h5 does not exist; install .* again'):
        check_weights_file('embedded')
