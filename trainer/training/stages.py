"""Transfer learning in two stages: train the head, then fine-tune the upper backbone layers."""

import contextlib
import csv
import functools
import logging
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from common.files import UNREADABLE
from trainer.config.train import StageConfig, TrainConfig
from trainer.data.stage_data import StageData, class_weights, make_stage_data
from trainer.model.folding import fold, unfold
from trainer.model.network import Network
from trainer.results import FineTuningChoice
from trainer.training.auto import decide, share_of_mistakes
from trainer.training.callbacks import (
    Backup,
    BestWeights,
    EpochBars,
    LearningRate,
    Validation,
)
from trainer.training.job import STAGES, Job, StageInputs
from trainer.training.optimizer import make_optimizer
from trainer.training.stage_history import StageHistory

_PLATEAU = 2  # epochs without a better validation loss, then the learning rate is a tenth
_log = logging.getLogger(__name__)


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
    activations: Path | None = None,
    warm: bool = False,
    events: Path | None = None,
) -> Training:
    """Trains the stages that have epochs; leaves the best weights in the network.

    What the head reaches decides on the fine-tuning if the job has left that open; `activations` is
    the folder of the cache, for another boundary than that of the inputs.

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
        if key == 'fine_tune' and job.undecided:
            boundary = network.backbone.cut
            mistakes = share_of_mistakes(logits, inputs[key]['eval'].labels)
            job, network = decide(job, network, mistakes, warm=warm)
            stage = job.config.fine_tune
            if network.backbone.cut != boundary:
                assert activations
                inputs.clear()  # closes the files, so that removing them frees the disk
                inputs = job.tuning_inputs(network, activations)
        splits = inputs[key]
        train_split = splits['train']
        data = make_stage_data(splits, job.config, job.classes, network.backbone.preprocess)
        model, folded_top = _build(
            job.config, network, fine_tuning=key == 'fine_tune', from_images=train_split.are_images
        )
        _compile(model, stage, data.steps, job.config, half_precision=network.half_precision)
        weights = class_weights(job.config, job.classes, train_split.labels)
        validation = Validation(
            model, data.eval, splits['eval'].labels, weights, calibrated=job.config.calibrate
        )
        if warm and not histories:
            loss, logits = validation.measure()['val_loss'], validation.logits
        loss_before = loss if math.isfinite(loss) else None
        best = BestWeights(model, validation, loss, logits)
        with job.timings.part(name) as part:
            metrics = _fit(model, data, name, stage, [validation, best], folder / key, events)
            part['images'] = train_split.count * len(metrics['loss'])
        if folded_top:
            unfold(folded_top, network.backbone.model)
        loss, logits = best.loss, best.logits
        histories.append(StageHistory(name, metrics, best.epoch, stage.patience, loss_before))
    return Training(histories, logits, network, job.choice)


def _fit(
    model: keras.Model,
    data: StageData,
    name: str,
    stage: StageConfig,
    callbacks: Sequence[keras.callbacks.Callback],
    folder: Path,
    events: Path | None,
) -> dict[str, tuple[float, ...]]:
    """Trains the epochs that are left; returns the metrics of all, and leaves the best weights."""
    log, finished = folder / 'epochs.csv', folder / 'finished.npz'
    best = callbacks[-1]
    assert isinstance(best, BestWeights)
    backup = Backup(folder / 'backup', best)
    if _restore(model, name, best, backup, log, finished):
        return _read_epochs(log)
    callbacks = [*callbacks, LearningRate()]
    callbacks.append(logger := keras.callbacks.CSVLogger(str(log), append=True))
    if stage.patience:
        callbacks.append(keras.callbacks.EarlyStopping(patience=stage.patience, mode='min'))
    if stage.schedule == 'plateau':
        callbacks.append(keras.callbacks.ReduceLROnPlateau(patience=_PLATEAU, mode='min'))
    if events:
        callbacks.append(keras.callbacks.TensorBoard(str(events / folder.name), write_graph=False))
    with contextlib.ExitStack() as open_bars, _closing(logger):  # also after an exception
        model.fit(
            data.train,
            epochs=stage.epochs,
            steps_per_epoch=data.steps,
            shuffle=False,  # the dataset does; the default is a warning for datasets
            verbose=0,
            callbacks=[*callbacks, EpochBars(name, open_bars), backup],  # last, after the metrics
        )
    best.save(finished)
    return _read_epochs(log)


def _restore(
    model: keras.Model, name: str, best: BestWeights, backup: Backup, log: Path, finished: Path
) -> bool:
    """Restores an interrupted stage, if there is one; returns whether it has ended.

    A stage without a backup, or with damaged files, starts again in an empty folder.
    """
    variables = model.optimizer.variables
    initial = [keras.ops.convert_to_numpy(variable) for variable in variables]
    try:
        if finished.exists():
            _read_epochs(log)
            best.load(finished)
            model.set_weights(best.weights)
            return True
        if epochs := backup.restore(model):
            _read_epochs(log, epochs)
            best.load(backup.best_path)
            return False
    except (*UNREADABLE, csv.Error) as error:
        _log.warning('%s starts again, as its backup is damaged: %s', name, error)
        model.set_weights(best.weights)
        for variable, value in zip(variables, initial, strict=True):
            variable.assign(value)
        model._initial_epoch = None
    if log.parent.exists():
        shutil.rmtree(log.parent)
    log.parent.mkdir(parents=True)
    return False


@contextlib.contextmanager
def _closing(logger: keras.callbacks.CSVLogger) -> Iterator[None]:
    try:
        yield
    finally:
        logger.on_train_end()


def _read_epochs(log: Path, epochs: int = 1) -> dict[str, tuple[float, ...]]:
    """Reads the metrics of all epochs; one that was repeated after an interruption counts once.

    Raises ValueError if an epoch is missing, or if there are fewer than `epochs`.
    """
    rows: list[dict[str, str]] = []
    with log.open(newline='') as file:
        for row in csv.DictReader(file, restval=''):
            if (epoch := int(row.pop('epoch'))) > len(rows):
                raise ValueError(f'{log.name} lacks epoch {len(rows) + 1}')
            rows[epoch:] = [row]
    if len(rows) < epochs:
        raise ValueError(f'{log.name} has the first {len(rows)} epochs of {epochs}')
    return {name: tuple(float(row[name]) for row in rows) for name in rows[0]}


def _build(
    config: TrainConfig, network: Network, *, fine_tuning: bool, from_images: bool
) -> tuple[keras.Model, keras.Model | None]:
    """Builds the part of the network that a stage trains, from its input to logits.

    Also returns the folded layers that it trains, if any: copies with weights of their own.
    """
    if not fine_tuning and not from_images:
        return network.head, None
    backbone = network.backbone
    trunk, top = backbone.split(backbone.model) if fine_tuning else (backbone.model, None)
    parts, folded_top = [], None
    if from_images and trunk:
        parts.append(fold(trunk))
        parts[0].trainable = False
    if top:
        if config.fine_tune.batch_norm == 'inference':
            top = folded_top = fold(top)
        backbone.freeze(top)
        parts.append(top)
    inputs = feature_map = keras.Input(parts[0].input_shape[1:])
    for part in parts:
        feature_map = part(feature_map)
    pooled = keras.layers.GlobalAveragePooling2D(dtype='float32')(feature_map)
    name = 'fine_tuned' if fine_tuning else 'frozen'
    return keras.Model(inputs, network.head(pooled), name=name), folded_top


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
