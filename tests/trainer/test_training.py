"""The two stages on small caches: what is learnt, what stays as it was, what is kept."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer import progress
from trainer.backbone import build_backbone
from trainer.config import TrainConfig
from trainer.embedding import Embedder
from trainer.timing import Timings
from trainer.training import BestWeights, EpochBars, train

IMAGES = 32
AUGMENT = {'flip': True, 'rotation': 0.1, 'views': 2}


def config(**changes):
    small = {
        'image_size': 32, 'alpha': 0.35, 'weights': 'random', 'batch_size': 8,
        'feature_extraction': {'epochs': 2},
        'fine_tune': {'epochs': 2, 'from_layer': 'block_14_expand', 'learning_rate': 1e-3},
    }  # fmt: skip
    return TrainConfig.model_validate({**small, **changes})


def batches():
    """Dark and bright squares, labels 0 and 1."""
    rng = np.random.default_rng(0)
    labels = np.arange(IMAGES) % 2
    pixels = rng.integers(0, 100, (IMAGES, 32, 32, 3)) + 150 * labels[:, None, None, None]
    pair = (pixels.astype('uint8'), labels.astype('float32'))
    return tf.data.Dataset.from_tensor_slices(pair).batch(8)


def run(tmp_path, train_config):
    keras.utils.set_random_seed(train_config.seed)
    backbone = build_backbone(train_config)
    embedder = Embedder(backbone, train_config, tmp_path)
    data = {split: embedder.embed(split, batches(), IMAGES) for split in ('train', 'eval')}
    return backbone, train(train_config, backbone, data, tmp_path / 'logs', Timings())


FROM_A_RANDOM_START = {
    'feature_extraction': {'epochs': 0},
    'fine_tune': {'epochs': 10, 'from_layer': 0, 'batch_norm': 'train', 'learning_rate': 1e-2},
}


def test_the_model_takes_pixels_and_learns(tmp_path):
    stage = {**FROM_A_RANDOM_START['fine_tune'], 'epochs': 30, 'schedule': 'cosine'}
    _, model = run(tmp_path, config(feature_extraction={'epochs': 0}, fine_tune=stage))
    pixels = np.stack([np.full((32, 32, 3), value, 'float32') for value in (50, 200)])
    dark, bright = model(pixels, training=False).numpy().ravel()
    assert dark < 0 < bright


@pytest.fixture(scope='module')
def two_stages(tmp_path_factory):
    """A run of both stages with augmented views: where it wrote, its backbone, its model."""
    folder = tmp_path_factory.mktemp('two_stages')
    return folder, *run(folder, config(augment=AUGMENT))


def test_fine_tuning_changes_the_upper_layers_alone(two_stages):
    before = build_backbone(config())
    keras.utils.set_random_seed(0)
    start = [layer.get_weights() for layer in build_backbone(config()).whole.layers]
    _, backbone, _ = two_stages
    boundary = [layer.name for layer in before.whole.layers].index('block_14_expand')
    changed = [
        number
        for number, (layer, old) in enumerate(zip(backbone.whole.layers, start, strict=True))
        if any((new != was).any() for new, was in zip(layer.get_weights(), old, strict=True))
    ]
    assert changed
    assert min(changed) >= boundary


def test_batch_norm_statistics_stay_in_inference_mode(two_stages):
    _, backbone, _ = two_stages
    norms = [
        each for each in backbone.whole.layers if isinstance(each, keras.layers.BatchNormalization)
    ]
    assert all((norm.moving_mean.numpy() == 0).all() for norm in norms)


def test_from_a_random_start_batch_norm_learns_its_statistics(tmp_path):
    backbone, _ = run(tmp_path, config(**FROM_A_RANDOM_START, augment={'flip': True}))
    assert (backbone.whole.get_layer('bn_Conv1').moving_mean.numpy() != 0).any()


def test_one_seed_gives_one_model(tmp_path, two_stages):
    _, _, first = two_stages
    _, second = run(tmp_path, config(augment=AUGMENT))
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_tensorboard_gets_logs_of_both_stages(two_stages):
    logs = two_stages[0] / 'logs'
    stages = {path.parent.parent.name for path in logs.rglob('events.out.*')}
    assert stages == {'feature_extraction', 'fine_tune'}


class _Recorder:
    """Stands in for a model whose weights are one number."""

    def __init__(self):
        self.weights, self.stop_training = [0], False

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights


def play(best, model, losses):
    best.set_model(model)
    best.on_train_begin()
    for epoch, loss in enumerate(losses):
        model.weights = [loss]
        best.on_epoch_end(epoch, {'val_loss': loss})
        if model.stop_training:
            break
    best.on_train_end()


def test_the_weights_of_the_best_epoch_are_kept():
    model, best = _Recorder(), BestWeights()
    play(best, model, [3, 1, 2])
    assert model.weights == [1]


def test_a_second_stage_that_is_worse_leaves_the_weights_of_the_first():
    model, best = _Recorder(), BestWeights()
    play(best, model, [3, 1, 2])
    play(best, model, [4, 5])
    assert model.weights == [1]


def test_patience_ends_a_stage():
    model, best = _Recorder(), BestWeights()
    best.patience = 2
    play(best, model, [3, 4, 5, 1])
    assert model.stop_training
    assert model.weights == [3]


def test_an_interrupted_epoch_ends_its_bar():
    bars = EpochBars('stage')
    bars.set_params({'epochs': 1, 'steps': 2})
    with bars:  # as an exception leaves it: the epoch has begun and never ends
        bars.on_epoch_begin(0)
    with progress.bar('the next one', 1):  # refused while another is open
        pass
