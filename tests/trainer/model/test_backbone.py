"""Networks, their fine-tuning boundary, and validation of their weights."""

import dataclasses
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.model.backbone import build_backbone, check_copy, last_cut_before


def build(**changes):
    small = {'image_size': 32, 'weights': 'random', 'alpha': 1 if 'model' in changes else 0.35}
    return build_backbone(TrainConfig.model_validate({**small, **changes}))


def test_every_cut_is_outside_residual_blocks():
    backbone = build(fine_tune={'epochs': 1, 'from_layer': 103})  # inside a residual block
    assert backbone.cut == 'block_10_project_BN'
    model = backbone.model
    cuts = {last_cut_before(model, layer) for layer in range(1, len(model.layers))} - {None}
    assert len(cuts) > 40
    for cut in sorted(cuts)[::10]:
        top = dataclasses.replace(backbone, cut=cut).top()
        assert top.output_shape == model.output_shape


def adding_model(size):
    layers = keras.layers
    values = layers.Conv2D(8, 3, strides=2)(images := keras.Input((size, size, 3)))
    for _ in range(3):
        values = values + layers.Conv2D(8, 3, padding='same')(layers.ReLU()(values))
    return keras.Model(images, values)


def test_cuts_at_additions_that_are_no_layers_wherever_their_names_are():
    stage = {'epochs': 1, 'from_layer': 0.7}
    backbones = [build(model=f'{__name__}:adding_model', fine_tune=stage) for _ in range(2)]

    first, second = backbones
    assert first.cut.startswith('add')
    assert first.cut != second.cut
    assert first.depth == second.depth
    assert len(first.top().layers) == 4


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'backbone': 'MobilNetV2'}, "no 'MobilNetV2'; did you mean MobileNetV2 or"),
        ({'backbone': 'VGG16'}, 'VGG16 has no width multiplier; set it to 1'),
        (
            {'backbone': 'Xception', 'alpha': 1},
            'Xception at 32 pixels: Input size must be',
        ),
        ({'fine_tune': {'epochs': 1, 'from_layer': 'blok_14_expand'}}, 'mean block_14_expand'),
        ({'fine_tune': {'epochs': 1, 'from_layer': 154}}, '154; use 0 to 153'),
        ({'model': 'nowhere:make'}, 'nowhere cannot be imported'),
        ({'model': f'{__name__}:small_modl'}, "no function 'small_modl'; did you mean small_model"),
    ],
)
def test_reports_networks_and_layers_that_do_not_exist_or_fit(changes, message):
    with pytest.raises(ConfigError, match=message):
        build(**changes)


def small_model(size):
    images = keras.Input((size, size, 3))
    features = keras.layers.Conv2D(8, 3, strides=4, use_bias=False)(images)
    features = keras.layers.BatchNormalization()(features)
    return keras.Model(images, keras.ops.relu(features))


def repeated(size):
    layer, images = keras.layers.ReLU(name='again'), keras.Input((size, size, 3))
    return keras.Model(images, layer(keras.layers.Conv2D(8, 3)(layer(images))))


def several_outputs(size):
    images = keras.Input((size, size, 3))
    return keras.Model(images, [keras.layers.Conv2D(8, 3)(images)] * 4)


NO_MODEL = 'returned no Keras model from images, '
WRONG_MODELS = {
    'fails': (lambda size: [][size], 'raised IndexError: list index out of range'),
    'exits': (lambda size: sys.exit(size), 'raised SystemExit: 32'),
    'no_argument': (lambda: None, 'raised TypeError: '),
    'a_number': (lambda size: size, NO_MODEL),
    'not_built': (lambda _: keras.Sequential([keras.layers.Conv2D(8, 3)]), NO_MODEL),
    'subclass': (lambda _: type('Own', (keras.Model,), {})(), NO_MODEL),
    'several_outputs': (several_outputs, NO_MODEL),
    'repeated': (repeated, "returned a model that calls layer 'again' more than once"),
    'lambda': (
        lambda size: keras.Sequential(
            [keras.Input((size, size, 3)), keras.layers.Lambda(lambda x: 2 * x)]
        ),
        'raised ValueError: ',
    ),
}


@pytest.mark.parametrize('name', WRONG_MODELS)
def test_reports_functions_that_return_no_backbone_in_one_line(name, monkeypatch):
    function, message = WRONG_MODELS[name]
    monkeypatch.setattr(sys.modules[__name__], 'wrong_model', function, raising=False)
    with pytest.raises(ConfigError) as raised:
        build(model=f'{__name__}:wrong_model')
    assert str(raised.value).startswith(f'trainer.model: {__name__}:wrong_model {message}')
    assert '\n' not in str(raised.value)


class Scaled(keras.layers.Layer):
    """A layer whose configuration lacks its argument."""

    def __init__(self, factor=1, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor

    def get_config(self):
        return super().get_config()


def test_reports_a_layer_whose_copy_computes_something_else():
    def model_with(layer):
        images = keras.Input((32, 32, 3))
        return keras.Model(images, keras.layers.Conv2D(8, 3)(layer(images)))

    check_copy(model_with(Scaled(1)), 'own')
    with pytest.raises(ConfigError, match='a copy of own has other outputs; give layers'):
        check_copy(model_with(Scaled(2)), 'own')


def test_model_of_a_user_takes_images_from_minus_1_to_1():
    backbone = build(model=f'{__name__}:small_model', fine_tune={'epochs': 1, 'from_layer': 1})
    assert backbone.model.output_shape[1:] == (8, 8, 8)
    assert backbone.cut is None
    assert backbone.boundary_shape == (32, 32, 3)
    pixels = backbone.preprocess(np.float32([[[[0, 127.5, 255]]]]))
    assert np.asarray(pixels).ravel().tolist() == [-1, 0, 1]


@pytest.mark.parametrize(
    ('name', 'lowest', 'highest'),
    [('MobileNetV2', -1, 1), ('MobileNetV3Small', 0, 255), ('ResNet50', -123.68, 151.061)],
)
def test_each_backbone_has_its_own_preprocessing(name, lowest, highest):
    backbone = build(backbone=name, alpha=1, fine_tune={'epochs': 1})
    assert name != 'MobileNetV2' or backbone.first_trained == 100  # 0.65, the default
    pixels = np.asarray(backbone.preprocess(tf.constant([[[[0.0] * 3, [255.0] * 3]]])))
    assert pixels.min() == pytest.approx(lowest)
    assert pixels.max() == pytest.approx(highest)


def test_reports_failed_download_of_imagenet_weights(monkeypatch):
    def fail(alpha, **_):
        raise Exception('URL fetch failure')  # as Keras does

    monkeypatch.setattr(keras.applications, 'MobileNetV2', fail)
    with pytest.raises(ConfigError, match='could not be downloaded; pass a weights file'):
        build(weights='imagenet')
