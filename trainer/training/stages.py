"""Transfer learning in two stages: train the head, then fine-tune the upper backbone layers."""

import contextlib
import functools
import logging
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np

from trainer.config.train import StageConfig, TrainConfig
from trainer.data.dataset import Batches
from trainer.data.stage_data import StageData, class_weights, make_stage_data
from trainer.model.folding import fold
from trainer.model.network import Network
from trainer.training.backup import BackupFile, EpochBackups
from trainer.training.callbacks import BestWeights, EpochBars, LearningRate, Validation
from trainer.training.job import STAGES, Job, StageInputs
from trainer.training.optimizer import make_optimizer
from trainer.training.stage_history import StageHistory

_log = logging.getLogger(__name__)


class Training(NamedTuple):
    """Result of all stages."""

    histories: list[StageHistory]
    logits: np.ndarray | None  # of 'eval', [n, 1] or [n, classes]; None if all were NaN or infinite


def train(
    job: Job,
    network: Network,
    inputs: StageInputs,
    *,
    warm: bool = False,
    backups: BackupFile | None = None,
) -> Training:
    """Trains the stages that have epochs; leaves the best weights in the network.

    After a warm start, the validation loss of the initial weights is the one to improve on.
    An interrupted training continues after the epoch of the last of its `backups`, with the same
    batches as without the interruption.
    """
    best = BestWeights()
    backup = backups.read() if backups else None
    histories = list(backup.histories) if backup else []
    for key, name in STAGES.items():
        stage: StageConfig = getattr(job.config, key)
        if not stage.epochs or any(each.name == name for each in histories):
            continue
        done = backup if backup and backup.stage == key else None
        finished = done.epoch if done else 0
        model, data = _prepare(job, network, inputs[key], key, finished)
        validation = Validation(
            model,
            data.eval,
            inputs[key]['eval'].labels,
            class_weights(job.config, job.classes, inputs[key]['train'].labels),
            calibrated=job.config.calibrate,
        )
        best.start_stage(model, validation, stage.patience)
        if done:
            done.restore(model, best)
            _log.info('continues after epoch %s of %s, of an interrupted training', finished, name)
        elif warm and not histories:
            best.improves(validation.measure()['val_loss'])
        loss_before = best.best_loss if math.isfinite(best.best_loss) else None
        loss_before = done.loss_before if done else loss_before
        earlier = done.metrics if done else {}
        callbacks = [validation, best, LearningRate()]
        if backups:
            callbacks.append(EpochBackups(backups, key, histories, best, loss_before, earlier))
        with job.timings.part(name) as part:
            if done and (done.stopped or finished == stage.epochs):
                best.on_train_end()
                metrics = {name: tuple(values) for name, values in earlier.items()}
            else:
                new = _fit(model, data, name, stage.epochs, finished, callbacks)
                metrics = {each: (*earlier.get(each, ()), *values) for each, values in new.items()}
            epochs = len(metrics['loss'])
            part['images'] = inputs[key]['train'].count * (epochs - finished)
        histories.append(StageHistory(name, metrics, best.best_epoch, stage.patience, loss_before))
    return Training(histories, best.logits)


def _prepare(
    job: Job, network: Network, splits: Mapping[str, Batches], key: str, finished: int
) -> tuple[keras.Model, StageData]:
    """Builds and compiles the model of a stage, and its data after `finished` epochs."""
    stage: StageConfig = getattr(job.config, key)
    fine_tuning, from_images = key == 'fine_tune', splits['train'].are_images
    network.backbone.freeze(fine_tuning=fine_tuning)
    model = _build(job.config, network, fine_tuning=fine_tuning, from_images=from_images)
    data = make_stage_data(
        splits, stage.epochs, job.config, job.classes, from_images=from_images, finished=finished
    )
    _compile(model, stage, data.steps, job.config, half_precision=network.half_precision)
    return model, data


def _fit(
    model: keras.Model,
    data: StageData,
    name: str,
    epochs: int,
    finished: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> dict[str, list[float]]:
    """Trains the epochs after `finished`; returns their metrics."""
    with contextlib.ExitStack() as open_bars:  # an exception ends the progress bar of its epoch
        history = model.fit(
            data.train,
            initial_epoch=finished,
            epochs=epochs,
            steps_per_epoch=data.steps,
            shuffle=False,  # the dataset does; the default is a warning for datasets
            verbose=0,
            callbacks=[*callbacks, EpochBars(name, open_bars)],
        ).history
    return dict(history)


def _build(
    config: TrainConfig, network: Network, *, fine_tuning: bool, from_images: bool
) -> keras.Model:
    """Builds the part of the network that a stage trains, from its input to logits."""
    backbone, parts = network.backbone, []
    if fine_tuning:
        if from_images and backbone.trunk:
            parts.append(fold(backbone.trunk))
        assert backbone.top  # only None without fine-tuning
        trains_norm = config.fine_tune.batch_norm == 'train'
        # `training=False` in the call of a functional model has no effect: `fit` overrides it.
        parts.append(backbone.top if trains_norm else fold(backbone.top))
    elif from_images:
        parts.append(fold(backbone.model))
    else:
        return network.head
    inputs = feature_map = keras.Input(parts[0].input_shape[1:])
    for part in parts:
        feature_map = part(feature_map)
    pooled = keras.layers.GlobalAveragePooling2D(dtype='float32')(feature_map)
    return keras.Model(inputs, network.head(pooled), name='fine_tuned' if fine_tuning else 'frozen')


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
