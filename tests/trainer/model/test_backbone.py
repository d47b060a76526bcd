"""Fine-tuning boundary of the backbone, and validation of its weights."""

import keras
import numpy as np
import pytest

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.model.backbone import build_backbone


def build(**changes):
    small = {'image_size': 32, 'alpha': 0.35, 'weights': 'random'}
    return build_backbone(TrainConfig.model_validate({**small, **changes}))


def build_from(layer, **changes):
    """Builds a backbone that is fine-tuned from a layer on."""
    return build(fine_tune={'epochs': 1, 'from_layer': layer, **changes})


@pytest.mark.parametrize('from_layer', [1, 30, 100, 'block_14_expand', 153])
def test_trunk_and_top_compose_to_the_model(from_layer):
    backbone = build_from(from_layer)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype('float32')
    expected = backbone.model(images, training=False)
    boundary = images if backbone.trunk is None else backbone.trunk(images, training=False)
    np.testing.assert_allclose(backbone.top(boundary, training=False), expected, atol=1e-5)


def test_freezes_layers_of_the_top_before_from_layer():
    backbone = build_from(100)
    backbone.unfreeze_upper()
    frozen = [layer.name for layer in backbone.top.layers if layer.weights and not layer.trainable]
    assert frozen == ['block_11_expand', 'block_11_expand_BN']


def test_boundary_is_outside_residual_blocks():
    # Layer 103 is inside a residual block.
    assert build_from(103).trunk.layers[-1].name == 'block_10_project_BN'


def test_freezes_backbone_without_fine_tuning():
    backbone = build(fine_tune={'epochs': 0})
    assert backbone.model.trainable_variables == []
    assert backbone.trunk is backbone.model
    assert backbone.top is None


def test_trained_batch_norm_has_lower_momentum():
    backbone = build_from(0, batch_norm='train')
    momenta = {
        layer.momentum
        for layer in backbone.model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    assert momenta == {0.9}


@pytest.mark.parametrize(
    ('layer', 'message'),
    [
        ('block_99', r'no layer .block_99.; use one of .*block_14_expand'),
        (154, 'no layer 154; use 0 to 153'),
    ],
)
def test_rejects_unknown_layer_and_lists_choices(layer, message):
    with pytest.raises(ConfigError, match=message):
        build_from(layer)


def test_rejects_weights_of_other_width(tmp_path):
    wider = keras.applications.MobileNetV2((32, 32, 3), alpha=0.5, include_top=False, weights=None)
    wider.save_weights(tmp_path / 'wide.weights.h5')
    with pytest.raises(ConfigError, match=r'wide.weights.h5 does not fit MobileNetV2 0.35'):
        build(weights=str(tmp_path / 'wide.weights.h5'))


def test_rejects_weights_file_that_is_not_hdf5(tmp_path):
    (tmp_path / 'w.h5').write_text('not weights')
    with pytest.raises(ConfigError, match='is not HDF5'):
        build(weights=str(tmp_path / 'w.h5'))


def test_freeze_and_unfreeze_upper_set_trainable_layers():
    backbone = build_from(100)
    backbone.freeze()
    assert not backbone.model.trainable_variables
    backbone.unfreeze_upper()
    trained = [layer.name for layer in backbone.model.layers if layer.trainable]
    assert trained[0] == backbone.model.layers[backbone.first_trained].name
    assert trained[-1] == 'out_relu'
