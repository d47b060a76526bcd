"""Networks, their fine-tuning boundary, and their weights."""

import dataclasses
import sys

import keras
import numpy as np
import pytest

from common.errors import ConfigError
from pipeline.config.recipe import RECIPES, load_recipe
from trainer.config.train import TrainConfig
from trainer.model import weights
from trainer.model.backbone import build_backbone, check_copy, last_cut_before

OWN = {'model': 'training_jobs:own_model', 'alpha': 1}


def build(**changes):
    small = {'image_size': 32, 'weights': 'random', 'alpha': 0.35}
    return build_backbone(TrainConfig.model_validate({**small, **changes}))


def range_of(backbone):
    """The preprocessed values of black and white."""
    pixels = np.asarray(backbone.preprocess(np.float32([[[[0] * 3, [255] * 3]]])))
    return pytest.approx((pixels.min(), pixels.max()))


@pytest.fixture(scope='module')
def mobilenet():
    """MobileNetV2 with embedded weights and the default boundary."""
    return build(weights='embedded', fine_tune={'epochs': 1})


def test_every_cut_is_outside_residual_blocks(mobilenet):
    assert mobilenet.first_trained == 100  # 0.65
    inside = TrainConfig.model_validate({'fine_tune': {'epochs': 1, 'from_layer': 103}}).fine_tune
    assert mobilenet.before(inside).cut == 'block_10_project_BN'
    model = mobilenet.model
    cuts = {last_cut_before(model, layer) for layer in range(1, len(model.layers))} - {None}
    assert len(cuts) > 40
    for cut in sorted(cuts)[::10]:
        top = dataclasses.replace(mobilenet, cut=cut).top()
        assert top.output_shape == model.output_shape


def test_cuts_at_additions_that_are_no_layers_wherever_their_names_are():
    stage = {'epochs': 1, 'from_layer': 0.7}
    first, second = (build(**OWN, fine_tune=stage) for _ in range(2))

    assert first.cut.startswith('add')
    assert first.cut != second.cut
    assert first.depth == second.depth
    assert len(first.top().layers) == 4


def test_boundary_is_the_image_if_every_layer_is_trained():
    backbone = build(**OWN, fine_tune={'epochs': 1, 'from_layer': 0})
    assert (backbone.cut, backbone.boundary_shape) == (None, (32, 32, 3))


def test_fine_tuning_of_recipes_fits_the_network(mobilenet):
    stages = [load_recipe(path.stem).trainer.fine_tune for path in RECIPES.glob('*.yaml')]
    layers = [mobilenet.before(stage).first_trained for stage in stages if stage.epochs]
    assert len({*layers}) > 3
    assert max(layers) < len(mobilenet.model.layers) - 1


def test_backbone_has_embedded_weights(mobilenet, monkeypatch, tmp_path):
    loaded = mobilenet.original.get_weights()
    mobilenet.original.load_weights(weights.EMBEDDED_FILE)
    for found, stored in zip(loaded, mobilenet.original.get_weights(), strict=True):
        assert found.dtype == 'float32'
        np.testing.assert_array_equal(found, stored)
    monkeypatch.setattr(weights, 'EMBEDDED_FILE', tmp_path / 'embedded.weights.h5')
    with pytest.raises(ConfigError, match=r'embedded.weights.h5 does not exist; install .* again'):
        build(weights='embedded')


def test_each_backbone_has_its_own_preprocessing(mobilenet):
    assert range_of(mobilenet) == (-1, 1)
    assert range_of(build(**OWN)) == (-1, 1)
    assert range_of(build(backbone='VGG16', alpha=1)) == (-123.68, 151.061)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'backbone': 'MobilNetV2'}, "no 'MobilNetV2'; did you mean MobileNetV2 or"),
        ({'backbone': 'VGG16'}, 'VGG16 has no width multiplier; set it to 1'),
        (
            {'backbone': 'Xception', 'alpha': 1},
            'Xception at 32 pixels: Input size must be',
        ),
        ({**OWN, 'fine_tune': {'epochs': 1, 'from_layer': 'stam'}}, "'stam'; did you mean stem?"),
        ({**OWN, 'fine_tune': {'epochs': 1, 'from_layer': 10}}, '10; use 0 to 9'),
        ({**OWN, 'model': 'nowhere:make'}, 'nowhere cannot be imported'),
        ({**OWN, 'model': 'training_jobs:on_model'}, "no function 'on_model'; did you mean own_mo"),
    ],
)
def test_reports_networks_and_layers_that_do_not_exist_or_fit(changes, message):
    with pytest.raises(ConfigError, match=message):
        build(**changes)


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
}


@pytest.mark.parametrize('name', WRONG_MODELS)
def test_reports_functions_that_return_no_backbone_in_one_line(name, monkeypatch):
    function, message = WRONG_MODELS[name]
    monkeypatch.setattr(sys.modules[__name__], 'wrong_model', function, raising=False)
    with pytest.raises(ConfigError) as raised:
        build(**{**OWN, 'model': f'{__name__}:wrong_model'})
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


@pytest.mark.filterwarnings('ignore:Skipping nested container:UserWarning')  # before it raises
@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda contents: contents,
            'w.weights.h5 cannot be loaded into training_jobs:own_model at',
        ),
        (lambda contents: contents[:2000], 'OSError: .*truncated'),
        (lambda _: b'text', 'is not HDF5'),
        (None, r'w.weights.h5 does not exist; give HDF5 weights'),
    ],
    ids=['of another network', 'truncated', 'text', 'missing'],
)
def test_rejects_unusable_file_of_weights(tmp_path, change, message):
    file = tmp_path / 'w.weights.h5'
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(file)
    contents = file.read_bytes()
    file.unlink()
    if change:
        file.write_bytes(change(contents))
    with pytest.raises(ConfigError, match=message):
        build(**OWN, weights=str(file))


def test_reports_failed_download_of_imagenet_weights(monkeypatch):
    def fail(alpha, **_):
        raise Exception('URL fetch failure')  # as Keras does

    monkeypatch.setattr(keras.applications, 'MobileNetV2', fail)
    with pytest.raises(ConfigError, match='could not be downloaded; pass a weights file'):
        build(weights='imagenet')
