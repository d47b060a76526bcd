"""What TFX's Trainer calls. The only file that knows `FnArgs`."""

import tempfile
from pathlib import Path

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer import dataset
from trainer.backbone import build_backbone
from trainer.config import TrainConfig
from trainer.embedding import Embedder
from trainer.export import export
from trainer.features import ACTIVATIONS_PREFIX
from trainer.timing import Timings
from trainer.training import train

_EMBEDDING_BATCH = 64


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the splits `train` and `eval` and writes the model where TFX asks for it.

    `custom_config` holds `train` (a TrainConfig as a dictionary) and `classes` (names in the order
    of their labels). Where the seconds went stands in `timings.json` beside the logs.
    """
    config = TrainConfig.model_validate(fn_args.custom_config['train'])
    classes = tuple(fn_args.custom_config['classes'])
    run_dir = Path(fn_args.model_run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    timings = Timings()
    keras.utils.set_random_seed(config.seed)
    with timings.part('transform graph and backbone'):
        transform = tft.TFTransformOutput(fn_args.transform_output)
        backbone = build_backbone(config)
    with tempfile.TemporaryDirectory(prefix=ACTIVATIONS_PREFIX, dir=run_dir) as cache:
        embedder = Embedder(backbone, config, Path(cache))
        data = {}
        for split, files in {'train': fn_args.train_files, 'eval': fn_args.eval_files}.items():
            count = count_records(files)
            with timings.part(f'embedding of {split}', count):
                images = dataset.read_images(files, transform, _EMBEDDING_BATCH)
                data[split] = embedder.embed(split, images, count)
        model = train(config, backbone, data, run_dir / 'logs', timings)
    with timings.part('export'):
        export(model, transform, classes, Path(fn_args.serving_model_dir))
    timings.write(run_dir / 'timings.json')


def count_records(patterns: list[str]) -> int:
    """Number of records in gzipped TFRecords."""
    files = tf.data.Dataset.list_files(patterns, shuffle=False)
    records = tf.data.TFRecordDataset(files, 'GZIP')
    return int(records.reduce(0, lambda count, _: count + 1))
