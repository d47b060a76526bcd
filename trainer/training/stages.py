"""Transfer learning in two stages: train the head, then fine-tune the upper backbone layers."""

import contextlib
import functools
import math
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from trainer.config.train import StageConfig, TrainConfig
from trainer.data.stage_data import class_weights, make_stage_data
from trainer.model.folding import fold
from trainer.model.network import Network
from trainer.training.callbacks import BestWeights, EpochBars, Validation
from trainer.training.job import STAGES, Job, StageInputs
from trainer.training.optimizer import make_optimizer
from trainer.training.stage_history import StageHistory


class Training(NamedTuple):
    """Result of all stages."""

    histories: list[StageHistory]
    logits: np.ndarray | None  # of 'eval', [n, 1] or [n, classes]; None if all were NaN or infinite


def train(
    job: Job, network: Network, inputs: StageInputs, log_dir: Path, *, warm: bool = False
) -> Training:
    """Trains the stages that have epochs; leaves the best weights in the network.

    After a warm start, the validation loss of the initial weights is the one to improve on.
    TensorBoard logs go to one folder per stage.
    """
    best = BestWeights()
    histories: list[StageHistory] = []
    for key, name in STAGES.items():
        stage: StageConfig = getattr(job.config, key)
        if not stage.epochs:
            continue
        fine_tuning = key == 'fine_tune'
        from_images = inputs[key]['train'].are_images
        network.backbone.freeze(fine_tuning=fine_tuning)
        model = _build(job.config, network, fine_tuning=fine_tuning, from_images=from_images)
        data = make_stage_data(
            inputs[key], stage.epochs, job.config, job.classes, from_images=from_images
        )
        _compile(model, stage, data.steps, job.config, half_precision=network.half_precision)
        validation = Validation(
            model,
            data.eval,
            inputs[key]['eval'].labels,
            class_weights(job.config, job.classes, inputs[key]['train'].labels),
            calibrated=job.config.calibrate,
        )
        best.start_stage(validation, stage.patience)
        if warm and not histories:
            best.improves(validation.measure()['val_loss'])
        loss_before = best.best_loss if math.isfinite(best.best_loss) else None
        logs = keras.callbacks.TensorBoard(str(log_dir / key), write_graph=False)
        # An exception ends the progress bar of its epoch.
        with job.timings.part(name) as part, contextlib.ExitStack() as open_bars:
            metrics = model.fit(
                data.train,
                epochs=stage.epochs,
                steps_per_epoch=data.steps,
                shuffle=False,  # the dataset does; the default is a warning for datasets
                verbose=0,
                callbacks=[validation, best, EpochBars(name, open_bars), logs],
            ).history
            part['images'] = inputs[key]['train'].count * len(metrics['loss'])
        histories.append(StageHistory(name, metrics, best.best_epoch, stage.patience, loss_before))
    return Training(histories, best.logits)


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
