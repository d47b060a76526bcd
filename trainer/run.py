"""What TFX runs as the Trainer; the only module of this package that uses `FnArgs`."""

import hashlib
import json
import logging
from pathlib import Path

import keras
import numpy as np
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from common import stack
from common.artifacts import folder_of
from common.features import (
    ACTIVATIONS,
    CALIBRATION,
    EVENTS,
    FINE_TUNING_FILE,
    FIXED,
    HISTORY,
    INTERRUPTED,
)
from trainer.config.train import TrainConfig
from trainer.config.tuner import format_values
from trainer.data.dataset import open_splits
from trainer.data.tensors import BATCH
from trainer.export.run_figures import write_augmented_views, write_network
from trainer.export.saved_model import export
from trainer.export.warmup_requests import write_requests
from trainer.model.network import Network, join, scale_logits
from trainer.results import FineTuningChoice
from trainer.training import devices
from trainer.training.auto import settle
from trainer.training.calibration import calibrate
from trainer.training.callbacks import make_predict
from trainer.training.interruption import resumable
from trainer.training.job import Job, Timings
from trainer.training.stage_history import write_history
from trainer.training.stages import Training, train
from trainer.training.trained_images import read_record_index, write_trained_images
from trainer.training.warm_start import save_weights, weights_folder

_log = logging.getLogger(__name__)


def run_fn(fn_args: FnArgs, live: FineTuningChoice | None = None) -> None:
    """`run_fn` of the Trainer: trains a model and exports it as a SavedModel.

    `live` is the choice of the live model, which a training with an equal basis takes over.

    Also writes the weights for a warm start and the index of the training images next to the model;
    and `timings.json`, `history.json`, `calibration.json`, `network.json`, event files for
    TensorBoard and augmented views to the run folder. `custom_config` holds `train`, a TrainConfig
    as a dictionary; `classes`, names in the order of their labels; `splitting`, the keys of the
    recipe that decide the split of an image; `code`, `pixels` and `model`, hashes of the code of
    training, preprocessing and `trainer.model`; and `max_megapixels`, the limit of images that the
    exported model decodes.
    """
    run_dir = folder_of(fn_args.model_run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    job = make_job(fn_args, live)
    with resumable(run_dir.parent / INTERRUPTED, _identity(fn_args, job.choice)) as folder:
        with devices.make_strategy().scope(), devices.precision_on_cpu(job.config):
            network, base = job.start()
            inputs, warm = job.inputs(network, run_dir.parent / ACTIVATIONS), base is not None
            training = train(job, network, inputs, folder, warm=warm, events=run_dir / EVENTS)
        for history in training.histories:
            for sentence in filter(None, (history.overfitting, history.discarded)):
                _log.info(sentence)
        write_history(run_dir / HISTORY, training.histories)
        model = _calibrated(job, network, training, run_dir)
        _export(job, model, network, fn_args, base)
        write_network(run_dir, training.network)
        if training.choice:
            choice = training.choice.model_dump_json(indent=1)
            (folder_of(fn_args.serving_model_dir) / FINE_TUNING_FILE).write_text(choice)
        write_augmented_views(run_dir, job)
        job.timings.write(run_dir / 'timings.json')


def _calibrated(job: Job, network: Network, training: Training, run_dir: Path) -> keras.Model:
    """Joins backbone and head, and scales the logits if the recipe calibrates."""
    model, logits = join(network, flip_averaging=job.config.flip_averaging), training.logits
    if not job.config.calibrate:
        return model
    if job.config.flip_averaging:
        with job.timings.part('calibration', job.splits['eval'].count):
            # Both mirror images through the whole network: less at a time, for the memory.
            logits = make_predict(model, job.splits['eval'].batches(BATCH // 8))()
    calibration = calibrate(logits, job.splits['eval'].labels)
    if calibration is None:
        return model
    (run_dir / CALIBRATION).write_text(calibration.model_dump_json(indent=1))
    return scale_logits(model, calibration.temperature)


def _export(
    job: Job, model: keras.Model, network: Network, fn_args: FnArgs, base: Path | None
) -> None:
    """Writes the SavedModel, the weights for a warm start and the index of the images.

    `base` is the index of the model that the training started from, if any.
    """
    with job.timings.part('export'):
        directory = folder_of(fn_args.serving_model_dir)
        limit = fn_args.custom_config['max_megapixels']
        serving = export(model, job.transform, job.classes, directory, job.config.threshold, limit)
        write_requests(directory, serving, job.splits['eval'])
        save_weights(network, job.description, weights_folder(fn_args.serving_model_dir))
        write_trained_images(_record_index(fn_args), fn_args.serving_model_dir, base)


def _identity(fn_args: FnArgs, choice: FineTuningChoice | None) -> str:
    """Hashes what a training depends on: as TFX's cache key inputs, settings, code and libraries.

    And the number of GPUs: the optimizer has other variables with several, or in half precision.
    And the choice that is taken over: there may be another live model after an interruption.
    """
    names = ('custom_config', 'hyperparameters', 'train_files', 'eval_files')  # with hashes of code
    inputs = [getattr(fn_args, name) for name in (*names, 'transform_graph_path', 'base_model')]
    parts = [*inputs, stack.libraries(), devices.count_gpus(), choice and choice.model_dump()]
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_job(fn_args: FnArgs, live: FineTuningChoice | None) -> Job:
    """Reads configuration, transform graph and data of a training."""
    config = TrainConfig.model_validate(fn_args.custom_config['train'])
    if fn_args.hyperparameters:  # written by KerasTuner
        best = fn_args.hyperparameters['values']
        config = config.replaced(best)
        _log.info('trained with the best of the Tuner: %s', format_values(best))
    timings = Timings()
    with timings.part('transform graph'):
        transform = tft.TFTransformOutput(fn_args.transform_graph_path)
        files = {'train': fn_args.train_files, 'eval': fn_args.eval_files}
        splits = open_splits(files, transform)
    given = fn_args.custom_config
    splitting = {
        **given['splitting'],
        'train and validation folders': bool((_record_index(fn_args)['part'] >= FIXED).any()),
    }
    job = Job(
        config,
        tuple(given['classes']),
        transform,
        splits,
        timings,
        fn_args.base_model,
        splitting,
        cache_key=f'{given["code"]} {given["pixels"]} {given["model"]} {stack.libraries()}',
    )
    return settle(job, live)


def _record_index(fn_args: FnArgs) -> np.ndarray:
    return read_record_index([*fn_args.train_files, *fn_args.eval_files])
