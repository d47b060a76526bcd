"""What TFX's Trainer calls. The only file that knows `FnArgs`."""

import tempfile
from pathlib import Path

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer import dataset, embedding
from trainer.backbone import build_backbone
from trainer.config import TrainConfig
from trainer.export import export
from trainer.training import train

_EMBEDDING_BATCH = 64


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the splits `train` and `eval` and writes the model where TFX asks for it.

    `custom_config` holds `train` (a TrainConfig as a dictionary), `classes` (names in the order
    of their labels), `counts` (images per split).
    """
    config = TrainConfig.model_validate(fn_args.custom_config['train'])
    classes = tuple(fn_args.custom_config['classes'])
    keras.utils.set_random_seed(config.seed)
    transform = tft.TFTransformOutput(fn_args.transform_output)
    backbone = build_backbone(config)
    # TFX gives the folders of all spans of a split.
    patterns = {'train': fn_args.train_files, 'eval': fn_args.eval_files}
    with tempfile.TemporaryDirectory(dir=_working_folder(fn_args)) as cache:
        data = {
            split: embedding.embed(
                split,
                dataset.read_images(files, transform, _EMBEDDING_BATCH),
                count_records(files),
                backbone,
                config,
                Path(cache),
            )
            for split, files in patterns.items()
        }
        model = train(config, backbone, data, Path(fn_args.model_run_dir) / 'logs')
    export(model, transform, classes, Path(fn_args.serving_model_dir))


def count_records(patterns: list[str]) -> int:
    """Number of records in gzipped TFRecords."""
    files = tf.data.Dataset.list_files(patterns, shuffle=False)
    records = tf.data.TFRecordDataset(files, 'GZIP')
    return int(records.reduce(0, lambda count, _: count + 1))


def _working_folder(fn_args: FnArgs) -> str:
    Path(fn_args.model_run_dir).mkdir(parents=True, exist_ok=True)
    return str(fn_args.model_run_dir)
