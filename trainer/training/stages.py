"""Transfer learning in two stages: train the head, then fine-tune the upper backbone layers."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from trainer.config.train import StageConfig, TrainConfig
from trainer.data.stage_data import Level, StageData
from trainer.model.backbone import Backbone
from trainer.model.folding import fold
from trainer.training.callbacks import BestWeights, EpochBars
from trainer.training.optimizer import make_optimizer
from trainer.training.stage_history import StageHistory
from trainer.training.timing import Timings

HEAD, FINE_TUNING = 'stage 1, head', 'stage 2, fine-tuning'

MakeStageData = Callable[[TrainConfig, str, int], StageData]


@dataclasses.dataclass(frozen=True)
class Network:
    """Backbone and head; models built from them share their weights.

    Attributes:
        backbone: split at the fine-tuning boundary.
        head: maps pooled features to logits.
        half_precision: whether the backbone computes in float16.
    """

    backbone: Backbone
    head: keras.Model
    half_precision: bool = False


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage: console name, configuration, data and TensorBoard folder."""

    name: str
    config: StageConfig
    data: StageData
    log_dir: Path


def train(
    config: TrainConfig,
    network: Network,
    stage_data: MakeStageData,
    log_dir: Path,
    timings: Timings,
    *,
    warm: bool = False,
) -> list[StageHistory]:
    """Trains the stages that have epochs; leaves the best weights in the network.

    Args:
        config: stages and loss.
        network: trained in place.
        stage_data: makes the data of a stage, given a config, the stage's name and its epochs.
        log_dir: for TensorBoard logs, one folder per stage.
        timings: records the duration of each stage.
        warm: whether the initial weights come from a trained model. Their validation loss is then
            the one to improve on.
    """
    stages = [
        (HEAD, config.feature_extraction, 'feature_extraction'),
        (FINE_TUNING, config.fine_tune, 'fine_tune'),
    ]
    best = BestWeights()
    histories: list[StageHistory] = []
    for name, settings, folder in stages:
        if not settings.epochs:
            continue
        if name == HEAD:
            network.backbone.freeze()
        else:
            network.backbone.unfreeze_upper()
        data = stage_data(config, name, settings.epochs)
        stage = Stage(name, settings, data, log_dir / folder)
        model = stage_model(config, network, data.level, fine_tuning=name == FINE_TUNING)
        _compile(model, stage, config, half_precision=network.half_precision)
        if warm and not histories:
            loss = model.evaluate(data.eval, verbose=0, return_dict=True)['loss']
            best.best_loss = float('inf') if math.isnan(loss) else loss
        with timings.part(name) as part:
            histories.append(_fit(model, stage, best))
            part['images'] = data.images * len(histories[-1].metrics['loss'])
    return histories


def stage_model(
    config: TrainConfig, network: Network, level: Level, *, fine_tuning: bool
) -> keras.Model:
    """Builds the part of the network that a stage trains, from the level of its data to logits."""
    backbone, head = network.backbone, network.head
    if level == 'pooled':
        return head
    parts = []
    if not fine_tuning:
        parts.append(fold(backbone.model))
    else:
        if level == 'image' and backbone.trunk is not None:
            parts.append(fold(backbone.trunk))
        assert backbone.top is not None  # only None without fine-tuning
        trains_norm = config.fine_tune.batch_norm == 'train'
        # `training=False` in the call of a functional model has no effect: `fit` overrides it.
        parts.append(backbone.top if trains_norm else fold(backbone.top))
    inputs = keras.Input(parts[0].input_shape[1:], name=level)
    feature_map = inputs
    for part in parts:
        feature_map = part(feature_map)
    pooled = keras.layers.GlobalAveragePooling2D(dtype='float32')(feature_map)
    return keras.Model(inputs, head(pooled), name='fine_tuned' if fine_tuning else 'frozen')


def _compile(
    model: keras.Model, stage: Stage, config: TrainConfig, *, half_precision: bool
) -> None:
    steps = stage.data.steps * stage.config.epochs
    model.compile(
        optimizer=make_optimizer(stage.config, steps, half_precision=half_precision),
        loss=_loss(model.output_shape[-1], config.label_smoothing),
        metrics=[keras.metrics.MeanMetricWrapper(_is_correct, name='accuracy')],
        jit_compile=False,  # XLA is six times slower for these convolutions on a CPU
    )
    model.optimizer.build(model.trainable_variables)  # otherwise `fit` traces the step twice


def _loss(logits: int, label_smoothing: float) -> keras.losses.Loss:
    """Cross-entropy of a sigmoid for one logit, of a softmax for several; allows soft labels."""
    kind = keras.losses.BinaryCrossentropy if logits == 1 else keras.losses.CategoricalCrossentropy
    return kind(from_logits=True, label_smoothing=label_smoothing)


def _is_correct(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Whether prediction and label, which mixup may make soft, have the same most likely class."""
    if logits.shape[-1] == 1:
        return tf.cast(tf.equal(labels > 0.5, logits > 0), tf.float32)
    return tf.cast(tf.equal(tf.argmax(labels, axis=-1), tf.argmax(logits, axis=-1)), tf.float32)


def _fit(model: keras.Model, stage: Stage, best: BestWeights) -> StageHistory:
    best.patience = stage.config.patience
    with EpochBars(stage.name) as bars:
        fitted = model.fit(
            stage.data.train,
            validation_data=stage.data.eval,
            epochs=stage.config.epochs,
            steps_per_epoch=stage.data.steps,
            verbose=0,
            callbacks=[
                best,
                bars,
                keras.callbacks.TensorBoard(str(stage.log_dir), write_graph=False),
            ],
        )
    return StageHistory(stage.name, fitted.history, best.best_epoch, best.patience)
