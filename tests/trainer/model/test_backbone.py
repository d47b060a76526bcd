"""Fine-tuning boundary of the backbone, and validation of its weights."""

import keras
import numpy as np
import pytest

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.model.backbone import build_backbone, last_cut_before


def build(**changes):
    small = {'image_size': 32, 'alpha': 0.35, 'weights': 'random'}
    return build_backbone(TrainConfig.model_validate({**small, **changes}))


@pytest.fixture(scope='module')
def backbone():
    """Fine-tuned from a layer inside a residual block on."""
    return build(fine_tune={'epochs': 1, 'from_layer': 103})


def test_boundary_is_outside_residual_blocks(backbone):
    assert backbone.trunk.layers[-1].name == 'block_10_project_BN'
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype('float32')
    expected = backbone.model(images, training=False).numpy()
    boundary = backbone.trunk(images, training=False)
    found = backbone.top(boundary, training=False)
    # Random weights give small outputs: the tolerance is relative to the largest.
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_every_cut_has_one_tensor_and_keeps_convolution_and_norm_together(backbone):
    model = backbone.model
    cuts = {last_cut_before(model, layer) for layer in range(1, len(model.layers))} - {0}
    assert len(cuts) > 40
    for cut in cuts:
        assert not isinstance(model.layers[cut + 1], keras.layers.BatchNormalization)
    for cut in (min(cuts), max(cuts)):
        top = keras.Model(model.layers[cut].output, model.output)
        assert top.output_shape == model.output_shape


@pytest.mark.parametrize(
    ('layer', 'message'),
    [('block_99', r"'block_99'; use one of .*block_14"), (154, r'154; use 0 to 153')],
)
def test_rejects_unknown_layer_and_lists_choices(layer, message):
    with pytest.raises(ConfigError, match=message):
        build(fine_tune={'epochs': 1, 'from_layer': layer})


@pytest.mark.parametrize(
    ('contents', 'message'),
    [
        ('another width', r'w.weights.h5 does not fit MobileNetV2 0.35'),
        ('truncated', r'w.weights.h5 is corrupted; download it again'),
        ('text', 'is not HDF5'),
        (None, r'w.weights.h5 does not exist; give HDF5 weights'),
    ],
)
@pytest.mark.filterwarnings('ignore:Skipping nested container:UserWarning')  # then Keras raises
def test_rejects_unusable_weights_file(tmp_path, contents, message):
    file = tmp_path / 'w.weights.h5'
    if contents == 'text':
        file.write_text('not weights')
    elif contents:
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(file)
    if contents == 'truncated':
        file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ConfigError, match=message):
        build(weights=str(file))


def test_reports_failed_download_of_imagenet_weights(monkeypatch):
    def fail(*_, **__):
        raise Exception('URL fetch failure')  # as Keras does

    monkeypatch.setattr(keras.applications, 'MobileNetV2', fail)
    with pytest.raises(ConfigError, match='could not be downloaded; pass a weights file'):
        build(weights='imagenet')


def test_weights_that_cannot_be_locked_are_not_called_corrupted(tmp_path, monkeypatch):
    file = tmp_path / 'w.weights.h5'
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(file)
    reason = "unable to lock file, errno = 95, error message = 'Operation not supported'"

    def load_weights(*_):
        raise OSError(f'Unable to synchronously open file ({reason})')

    monkeypatch.setattr(keras.Model, 'load_weights', load_weights)
    config = TrainConfig(weights=str(file), alpha=0.35)

    with pytest.raises(ConfigError, match=r'cannot be locked \(Operation not supported\)'):
        build_backbone(config)
