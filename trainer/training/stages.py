"""Two stages of transfer learning: the head alone, then the upper layers of the backbone too."""

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
from trainer.training.callbacks import BestWeights, EpochBars, stage_history
from trainer.training.optimizer import make_optimizer
from trainer.training.stage_history import StageHistory
from trainer.training.timing import Timings

HEAD, FINE_TUNING = 'stage 1, head', 'stage 2, fine-tuning'

MakeStageData = Callable[[TrainConfig, str, int], StageData]


@dataclasses.dataclass(frozen=True)
class Network:
    """What is trained: its parts share their weights with every model that is made of them.

    Attributes:
        backbone: cut where fine-tuning begins.
        head: from pooled features to the logits.
        half_precision: whether the backbone computes in float16.
    """

    backbone: Backbone
    head: keras.Model
    half_precision: bool = False


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage: what the person sees, what the recipe says, what it reads, where its logs go."""

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
    """Runs the stages that the recipe asks for; leaves the best weights in the network.

    Args:
        config: stages and loss.
        network: trained in place.
        stage_data: gives the batches of a stage for a config, its name and its number of epochs.
        log_dir: TensorBoard logs, a folder per stage.
        timings: gets the seconds of each stage.
        warm: the weights to begin with were trained for this already; they count as an epoch that
            the others have to beat.
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
    """From where a stage's data takes up the network to the logits."""
    backbone, head = network.backbone, network.head
    if level == 'pooled':
        return head
    parts = []
    if not fine_tuning:
        parts.append(fold(backbone.whole))
    else:
        if level == 'image' and backbone.trunk is not None:
            parts.append(fold(backbone.trunk))
        assert backbone.top is not None  # there is something to fine-tune
        learns_norm = config.fine_tune.batch_norm == 'train'
        # Calling a functional model with `training=False` would not do: `fit` overrides it.
        parts.append(backbone.top if learns_norm else fold(backbone.top))
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
        metrics=[keras.metrics.MeanMetricWrapper(_right, name='accuracy')],
        jit_compile=False,  # XLA on a CPU runs these convolutions six times slower
    )
    model.optimizer.build(model.trainable_variables)  # else `fit` traces the step twice


def _loss(logits: int, label_smoothing: float) -> keras.losses.Loss:
    """Of a sigmoid for one logit, of a softmax for several; labels may be mixed."""
    kind = keras.losses.BinaryCrossentropy if logits == 1 else keras.losses.CategoricalCrossentropy
    return kind(from_logits=True, label_smoothing=label_smoothing)


def _right(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Whether the likeliest class is the one that the label, mixed or not, holds most of."""
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
    return stage_history(stage.name, fitted, best)
