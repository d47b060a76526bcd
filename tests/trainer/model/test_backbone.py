"""Where the backbone is cut, and what it says of weights that do not fit."""

import keras
import numpy as np
import pytest

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.model.backbone import build_backbone, layer_number


def config(**changes):
    small = {'image_size': 32, 'alpha': 0.35, 'weights': 'random'}
    return TrainConfig.model_validate({**small, **changes})


@pytest.mark.parametrize('from_layer', [1, 30, 100, 'block_14_expand', 153])
def test_trunk_and_top_together_are_the_whole(from_layer):
    backbone = build_backbone(config(fine_tune={'epochs': 1, 'from_layer': from_layer}))
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype('float32')
    whole = backbone.whole(images, training=False)
    boundary = images if backbone.trunk is None else backbone.trunk(images, training=False)
    np.testing.assert_allclose(backbone.top(boundary, training=False), whole, atol=1e-5)


def test_layers_before_the_boundary_are_frozen_even_above_the_cut():
    backbone = build_backbone(config(fine_tune={'epochs': 1, 'from_layer': 100}))
    backbone.unfreeze_upper()
    frozen = [layer.name for layer in backbone.top.layers if layer.weights and not layer.trainable]
    assert frozen == ['block_11_expand', 'block_11_expand_BN']


def test_the_cut_never_needs_a_second_tensor():
    # Layer 103 lies inside a residual block, whose shortcut would have to be cached too.
    backbone = build_backbone(config(fine_tune={'epochs': 1, 'from_layer': 103}))
    assert backbone.trunk.layers[-1].name == 'block_10_project_BN'


def test_without_fine_tuning_everything_is_frozen():
    backbone = build_backbone(config(fine_tune={'epochs': 0}))
    assert backbone.whole.trainable_variables == []
    assert backbone.trunk is backbone.whole
    assert backbone.top is None


def test_batch_norm_follows_quickly_when_it_is_trained():
    backbone = build_backbone(
        config(fine_tune={'epochs': 1, 'from_layer': 0, 'batch_norm': 'train'})
    )
    momenta = {
        layer.momentum
        for layer in backbone.whole.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    assert momenta == {0.9}


def test_unknown_layers_are_named_with_the_choices():
    model = build_backbone(config()).whole
    with pytest.raises(ConfigError, match=r'no layer .block_99.; it has .*block_14_expand'):
        layer_number(model, 'block_99')
    with pytest.raises(ConfigError, match='layers 0 to 153, not 154'):
        layer_number(model, 154)


def test_weights_of_another_width_are_refused(tmp_path):
    wider = keras.applications.MobileNetV2((32, 32, 3), alpha=0.5, include_top=False, weights=None)
    wider.save_weights(tmp_path / 'wide.weights.h5')
    with pytest.raises(ConfigError, match=r'wide.weights.h5 does not fit MobileNetV2 0.35'):
        build_backbone(config(weights=str(tmp_path / 'wide.weights.h5')))


def test_a_file_that_is_not_hdf5_is_refused(tmp_path):
    (tmp_path / 'w.h5').write_text('not weights')
    with pytest.raises(ConfigError, match='is not HDF5'):
        build_backbone(config(weights=str(tmp_path / 'w.h5')))


def test_freezing_and_unfreezing_go_by_the_first_trained_layer():
    backbone = build_backbone(config(fine_tune={'epochs': 1, 'from_layer': 100}))
    backbone.freeze()
    assert not backbone.whole.trainable_variables
    backbone.unfreeze_upper()
    trained = [layer.name for layer in backbone.whole.layers if layer.trainable]
    assert trained[0] == backbone.whole.layers[backbone.first_trained].name
    assert trained[-1] == 'out_relu'
