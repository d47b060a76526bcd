"""Transfer learning in two stages: train the head, then fine-tune the upper backbone layers."""

import contextlib
import functools
import math
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from trainer.config.train import StageConfig, TrainConfig
from trainer.data.stage_data import StageData, class_weights, make_stage_data
from trainer.data.tensors import DEEPER
from trainer.model.network import Network
from trainer.results import FineTuningChoice
from trainer.training.auto import decide, share_of_mistakes
from trainer.training.callbacks import EpochBars, Validation
from trainer.training.interruption import Progress
from trainer.training.job import STAGES, Job, StageInputs
from trainer.training.optimizer import make_optimizer
from trainer.training.stage_history import StageHistory

_PLATEAU = 2  # epochs without a better validation loss, then the learning rate is a tenth


class Training(NamedTuple):
    """Result of all stages."""

    histories: list[StageHistory]
    logits: np.ndarray | None  # of 'eval', [n, 1] or [n, classes]; None if all were NaN or infinite
    network: Network  # split where fine-tuning began
    choice: FineTuningChoice | None  # of `auto` in `trainer.fine_tune`


def train(
    job: Job,
    network: Network,
    inputs: StageInputs,
    folder: Path,
    *,
    warm: bool = False,
    events: Path | None = None,
) -> Training:
    """Trains the stages that have epochs; leaves the best weights in the network.

    What the head reaches decides on the fine-tuning if the job has left that open.

    After a warm start, the validation loss of the initial weights is the one to improve on.
    `folder` keeps the state of the training: if it is interrupted, the next one with this folder
    continues after the last epoch that was backed up. `events` is the folder for TensorBoard.
    """
    histories: list[StageHistory] = []
    loss, logits = math.inf, None
    for key, name in STAGES.items():
        stage: StageConfig = getattr(job.config, key)
        if not stage.epochs:
            continue
        splits = inputs[key]
        if key == 'fine_tune' and job.undecided:
            boundary = network.backbone.cut
            mistakes = share_of_mistakes(logits, splits['eval'].labels)
            job, network = decide(job, network, mistakes, warm=warm)
            stage = job.config.fine_tune
            splits = splits if network.backbone.cut == boundary else inputs[DEEPER]
        train_split = splits['train']
        data = make_stage_data(splits, job.config, job.classes, network.backbone.preprocess)
        model = _build(
            job.config, network, fine_tuning=key == 'fine_tune', from_images=train_split.are_images
        )
        _compile(model, stage, data.steps, job.config, half_precision=network.half_precision)
        weights = class_weights(job.config, job.classes, train_split.labels)
        validation = Validation(
            model, data.eval, splits['eval'].labels, weights, calibrated=job.config.calibrate
        )
        if warm and not histories:
            loss, _, logits = validation.measure()
        loss_before = loss if math.isfinite(loss) else None
        validation.best = validation.best._replace(loss=loss, logits=logits)
        progress = Progress(folder / key, name, model, validation)
        with job.timings.part(name) as part:
            if not progress.restore():
                _fit(
                    model, data, name, stage, weights, validation, progress, events and events / key
                )
            part['images'] = train_split.count * len(progress.epochs)
        _, best_epoch, loss, logits = validation.best
        epochs = progress.epochs
        metrics = {each: tuple(values[each] for values in epochs) for each in epochs[0]}
        histories.append(StageHistory(name, metrics, best_epoch, stage.patience, loss_before))
    return Training(histories, logits, network, job.choice)


def _fit(
    model: keras.Model,
    data: StageData,
    name: str,
    stage: StageConfig,
    weights: np.ndarray | None,
    validation: Validation,
    progress: Progress,
    events: Path | None,
) -> None:
    """Trains the epochs that are left, and leaves the best weights in the model."""
    callbacks: list[keras.callbacks.Callback] = [validation]
    if stage.patience:
        callbacks.append(keras.callbacks.EarlyStopping(patience=stage.patience, mode='min'))
    if stage.schedule == 'plateau':
        callbacks.append(keras.callbacks.ReduceLROnPlateau(patience=_PLATEAU, mode='min'))
    if events:
        callbacks.append(keras.callbacks.TensorBoard(str(events), write_graph=False))
    with contextlib.ExitStack() as open_bars:
        model.fit(
            data.train,
            epochs=stage.epochs,
            initial_epoch=len(progress.epochs),
            steps_per_epoch=data.steps,
            class_weight=None if weights is None else dict(enumerate(weights)),
            shuffle=False,  # the dataset does; the default is a warning for datasets
            verbose=0,
            callbacks=[*callbacks, EpochBars(name, open_bars), progress],
        )


def _build(
    config: TrainConfig, network: Network, *, fine_tuning: bool, from_images: bool
) -> keras.Model:
    """Builds the part of the network that a stage trains, from its input to logits."""
    backbone = network.backbone
    backbone.set_trainable(
        fine_tuning=fine_tuning, batch_norm=config.fine_tune.batch_norm == 'train'
    )
    if not fine_tuning and not from_images:
        return network.head
    part = backbone.model if from_images else backbone.top()
    shape = backbone.model.input_shape[1:] if from_images else backbone.boundary_shape
    inputs = keras.Input(shape)
    feature_map = part(inputs) if part else inputs
    pooled = keras.layers.GlobalAveragePooling2D(dtype='float32')(feature_map)
    name = 'fine_tuned' if fine_tuning else 'frozen'
    return keras.Model(inputs, network.head(pooled), name=name)


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
