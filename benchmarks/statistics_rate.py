"""Rate of StatisticsGen over ingested records: fixed seconds, and images per second beyond.

Usage: statistics_rate.py [IMAGES ...], by default 2000 and 20000. Records hold random bytes of the
size of photographs, and the features that ingestion writes. Each size runs three times in a
subprocess, to measure its own peak memory; the fastest run counts. Imports are not timed.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from pipeline_benchmark import ROOT, machine, timed
from rich.console import Console
from rich.table import Table

IMAGES = (2_000, 20_000)
IMAGE_BYTES = 22_000  # on average
FILES = 8  # for each split


def write_split(folder: Path, images: int, seed: int) -> None:
    """Writes the records of one split with the features of `common.features`."""
    import numpy as np
    import tensorflow as tf

    from common import features

    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    names = [folder / f'data_tfrecord-{n:05d}-of-{FILES:05d}' for n in range(FILES)]
    writers = [tf.io.TFRecordWriter(str(name)) for name in names]
    for number in range(images):
        width, height = (int(side) for side in random.integers(200, 500, 2))
        size, label = int(random.normal(IMAGE_BYTES, IMAGE_BYTES / 4)), number % 2
        values = {
            features.IMAGE_BYTES: random.bytes(max(1000, size)),
            features.IMAGE_FORMAT: b'jpeg',
            features.FILENAME: f'{number}.jpg'.encode(),
            features.SHA256: random.bytes(32).hex(),
            features.LABEL: label,
            features.CLASS_NAME: (b'cats', b'dogs')[label],
            features.HEIGHT: height,
            features.WIDTH: width,
            features.ASPECT: width / height,
            features.BYTES: size,
            features.BRIGHTNESS: random.beta(5, 5),
            features.CONTRAST: random.beta(4, 4) / 2,
            features.SHARPNESS: random.normal(6.5, 0.8),
            features.COLOURFULNESS: random.gamma(4, 10),
        }
        record = {name: as_feature(value) for name, value in values.items()}
        example = tf.train.Example(features=tf.train.Features(feature=record))
        writers[number % FILES].write(example.SerializeToString())
    for writer in writers:
        writer.close()


def as_feature(value: object) -> object:
    """`tf.train.Feature` with one value."""
    import tensorflow as tf

    if isinstance(value, float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    contents = value.encode() if isinstance(value, str) else value
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[contents]))


def measure(folder: str) -> None:
    """Runs StatisticsGen with the pipeline's options; prints its seconds."""
    import logging

    from tfx.components.statistics_gen.executor import Executor
    from tfx.components.util import examples_utils
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.proto import example_gen_pb2
    from tfx.types import artifact_utils, standard_artifacts

    from common.features import SPLITS
    from pipeline.schema import statistics_options

    logging.getLogger('apache_beam').setLevel(logging.ERROR)
    examples, statistics = standard_artifacts.Examples(), standard_artifacts.ExampleStatistics()
    examples.uri, statistics.uri = f'{folder}/examples', f'{folder}/statistics'
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    executor = Executor(
        BaseBeamExecutor.Context(beam_pipeline_args=[], unique_id='', tmp_dir=folder)
    )
    start = time.perf_counter()
    executor.Do(
        {'examples': [examples]},
        {'statistics': [statistics]},
        {'stats_options_json': statistics_options().to_json(), 'exclude_splits': 'null'},
    )
    print(json.dumps(time.perf_counter() - start))


def main(sizes: list[int]) -> None:
    table = Table('images', 'seconds', 'peak memory, MB')
    seconds = {}
    for images in sizes:
        with tempfile.TemporaryDirectory() as folder:
            for seed, (split, share) in enumerate((('train', 3), ('eval', 1), ('test', 1))):
                write_split(Path(folder, 'examples', f'Split-{split}'), images * share // 5, seed)
            runs = [timed('benchmarks/statistics_rate.py', 'measure', folder) for _ in range(3)]
        run = min(runs, key=lambda each: float(each.last_line))
        seconds[images] = float(run.last_line)
        table.add_row(f'{images}', f'{seconds[images]:.1f}', f'{run.peak_mb:.0f}')
    console = Console(highlight=False, width=100)
    console.print(machine())
    console.print(table)
    least, most = min(sizes), max(sizes)
    rate = (most - least) / (seconds[most] - seconds[least])
    fixed = seconds[least] - least / rate
    console.print(
        f'{rate:.0f} images a second beyond {fixed:.1f} fixed seconds; with these, '
        f'{most / seconds[most]:.0f} a second over {most} images'
    )


if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ['measure']:
        measure(sys.argv[2])
    else:
        main([int(each) for each in sys.argv[1:]] or list(IMAGES))
