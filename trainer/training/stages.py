"""Transfer learning in two stages: train the head, then fine-tune the upper backbone layers."""

import contextlib
import functools
import math
from pathlib import Path

import keras

from trainer.config.train import StageConfig, TrainConfig
from trainer.data.stage_data import Level, StageData, make_stage_data
from trainer.model.folding import fold
from trainer.model.network import Network
from trainer.training.callbacks import BestWeights, EpochBars
from trainer.training.job import Job, StageInputs
from trainer.training.optimizer import make_optimizer
from trainer.training.stage_history import StageHistory

STAGES = {'feature_extraction': 'stage 1, head', 'fine_tune': 'stage 2, fine-tuning'}


def train(
    job: Job, network: Network, inputs: StageInputs, log_dir: Path, *, warm: bool = False
) -> list[StageHistory]:
    """Trains the stages that have epochs; leaves the best weights in the network.

    After a warm start, the validation loss of the initial weights is the one to improve on.
    TensorBoard logs go to one folder per stage.
    """
    config, best = job.config, BestWeights()
    histories: list[StageHistory] = []
    for key, name in STAGES.items():
        stage: StageConfig = getattr(config, key)
        if not stage.epochs:
            continue
        level, splits = inputs[key]
        if key == 'fine_tune':
            network.backbone.unfreeze_upper()
        else:
            network.backbone.freeze()
        data = make_stage_data(splits, level, stage.epochs, config, job.classes)
        model = _build(config, network, level, fine_tuning=key == 'fine_tune')
        _compile(model, stage, data.steps, config, half_precision=network.half_precision)
        if warm and not histories:
            loss = model.evaluate(data.eval, verbose=0, return_dict=True)['loss']
            best.best_loss = math.inf if math.isnan(loss) else loss
        with job.timings.part(name) as part:
            metrics = _fit(model, name, stage, data, best, log_dir / key)
            part['images'] = data.images * len(metrics['loss'])
        histories.append(StageHistory(name, metrics, best.best_epoch, stage.patience))
    return histories


def _build(
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
    inputs = feature_map = keras.Input(parts[0].input_shape[1:], name=level)
    for part in parts:
        feature_map = part(feature_map)
    pooled = keras.layers.GlobalAveragePooling2D(dtype='float32')(feature_map)
    return keras.Model(inputs, head(pooled), name='fine_tuned' if fine_tuning else 'frozen')


def _compile(
    model: keras.Model, stage: StageConfig, steps: int, config: TrainConfig, *, half_precision: bool
) -> None:
    """Compiles with cross-entropy of a sigmoid for one logit, of a softmax for several."""
    if model.output_shape[-1] == 1:
        loss = keras.losses.BinaryCrossentropy
        is_correct = functools.partial(keras.metrics.binary_accuracy, threshold=0.0)
    else:
        loss, is_correct = keras.losses.CategoricalCrossentropy, keras.metrics.categorical_accuracy
    model.compile(
        optimizer=make_optimizer(stage, steps * stage.epochs, half_precision=half_precision),
        loss=loss(from_logits=True, label_smoothing=config.label_smoothing),
        metrics=[keras.metrics.MeanMetricWrapper(is_correct, name='accuracy')],
        jit_compile=False,  # XLA is six times slower for these convolutions on a CPU
    )
    model.optimizer.build(model.trainable_variables)  # otherwise `fit` traces the step twice


def _fit(
    model: keras.Model,
    name: str,
    stage: StageConfig,
    data: StageData,
    best: BestWeights,
    log_dir: Path,
) -> dict[str, tuple[float, ...]]:
    best.patience = stage.patience
    logs = keras.callbacks.TensorBoard(str(log_dir), write_graph=False)
    with contextlib.ExitStack() as open_bars:  # an exception ends the bar of its epoch
        fitted = model.fit(
            data.train,
            validation_data=data.eval,
            epochs=stage.epochs,
            steps_per_epoch=data.steps,
            verbose=0,
            callbacks=[best, EpochBars(name, open_bars), logs],
        )
    return {key: tuple(values) for key, values in fitted.history.items()}
