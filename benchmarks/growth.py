"""CPU seconds per image and peak memory of each node, over the number of images.

Usage: growth.py [--sizes N ...] [--nodes NAME ...] [--json FILE]. Images are noise of 32x32 pixels
in Parquet files; each node reads the output of the preceding one. Simulated nodes get generated
inputs, so that a million images take minutes and little disk. Each measurement runs in a
subprocess; imports are not counted. CPU seconds, because a shared machine changes wall time.
"""

import argparse
import io
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from history import GrowthPoint
from rich.console import Console
from rich.table import Table
from timed_commands import DEMO, ROOT, machine, overrides, timed

SIZES = (1_000, 10_000, 100_000, 1_000_000)
CLASSES = ('cats', 'dogs')
SIDE, ROWS = 32, 1_000  # pixels; rows of a row group
MODEL: dict[str, object] = {
    'data.count': 300,
    'trainer.weights': 'random',
    'trainer.feature_extraction.epochs': 1,
    'trainer.fine_tune.epochs': 0,
    'evaluation.baseline_accuracy': 0.0,
    'evaluation.robustness.images': 0,
}
TRAINING: dict[str, object] = {
    'trainer.weights': 'random',
    'trainer.augment.cached_views': 2,
    'trainer.fine_tune.epochs': 1,
    'trainer.fine_tune.from_layer': 100,
    'trainer.fine_tune.batch_norm': 'inference',
    'trainer.feature_extraction.epochs': 2,
}


class Folders(NamedTuple):
    """The files of the measurements for one number of images."""

    root: Path
    images: int

    @property
    def examples(self) -> Path:
        """The Examples artifact that `ingest` writes."""
        return self.root / f'{self.images}' / 'examples' / '1'

    @property
    def predictions(self) -> Path:
        return self.root / f'{self.images}' / 'predictions'

    @property
    def evaluation(self) -> Path:
        return self.root / f'{self.images}' / 'evaluation'

    def split(self, name: str) -> list[Path]:
        """Record files of a split."""
        return sorted(self.examples.glob(f'span-1/Split-{name}/*'))

    def artifact(self, name: str) -> Path:
        """Output of the small run that provides transform graph and model."""
        (found,) = self.root.glob(f'model/*/artifacts/{name}')
        return found


Parts = Iterator[str]  # yields the name of each part after it was measured


def ingest(folders: Folders) -> Parts:
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import standard_artifacts

    from common import console
    from components.image_example_gen.image_example_gen import ImageExampleGenExecutor
    from components.image_example_gen.ingestion.quarantine import Quarantine
    from components.image_example_gen.sources.base.data_config import DataConfig

    home = folders.examples.parents[1]
    table = write_images(home / 'images.parquet', folders.images)
    data = DataConfig(source='parquet', path=table)
    examples, quarantine = standard_artifacts.Examples(), Quarantine()
    examples.uri, quarantine.uri = str(folders.examples), str(home / 'quarantine' / '1')
    executor = ImageExampleGenExecutor(BaseBeamExecutor.Context([], tmp_dir=str(home)))
    yield ''
    with Path(os.devnull).open('w') as nowhere, console.output_to(nowhere):
        outputs = {'examples': [examples], 'quarantine': [quarantine]}
        executor.Do({}, outputs, {'data': data.model_dump_json()})
    yield 'ImageExampleGen'


def write_images(file: Path, images: int) -> Path:
    """Writes JPEGs of noise as Parquet; all images differ."""
    import PIL.Image
    import pyarrow as pa
    import pyarrow.parquet

    random = np.random.default_rng(0)
    file.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([('image', pa.binary()), ('label', pa.string())])
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for start in range(0, images, ROWS):
            count = min(ROWS, images - start)
            labels = np.arange(count) % 2
            level = 90 + 60 * labels[:, None, None, None]
            pixels = random.normal(level, 40, (count, SIDE, SIDE, 3)).clip(0, 255)
            encoded = []
            for image in pixels.astype(np.uint8):
                buffer = io.BytesIO()
                PIL.Image.fromarray(image).save(buffer, 'JPEG')
                encoded.append(buffer.getvalue())
            names = [CLASSES[label] for label in labels]
            writer.write_table(pa.table({'image': encoded, 'label': names}, schema))
    return file


def generate_statistics(folders: Folders) -> Parts:
    from tfx.components.statistics_gen.executor import Executor
    from tfx.components.util import examples_utils
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.proto import example_gen_pb2
    from tfx.types import artifact_utils, standard_artifacts

    from common.features import SPLITS
    from pipeline.schema import statistics_options

    home = folders.examples.parents[1]
    examples, statistics = standard_artifacts.Examples(), standard_artifacts.ExampleStatistics()
    examples.uri, statistics.uri = str(folders.examples / 'span-1'), str(home / 'statistics')
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    context = BaseBeamExecutor.Context([], unique_id='', tmp_dir=str(home))
    options = {'stats_options_json': statistics_options().to_json(), 'exclude_splits': 'null'}
    yield ''
    Executor(context).Do({'examples': [examples]}, {'statistics': [statistics]}, options)
    yield 'StatisticsGen'


def train_model(folders: Folders) -> Parts:
    import tensorflow_transform as tft

    from pipeline.config.recipe import load_recipe
    from trainer.data.dataset import open_splits
    from trainer.training import devices
    from trainer.training.job import Job, Timings
    from trainer.training.stages import train

    config = load_recipe('demo', list(TRAINING.items())).trainer
    transform = tft.TFTransformOutput(str(folders.artifact('Transform/transform_graph/*')))
    yield ''
    files = {name: [str(each) for each in folders.split(name)] for name in ('train', 'eval')}
    splits = open_splits(files, transform)
    yield 'Trainer: opening records'
    job = Job(config, CLASSES, transform, splits, Timings())
    directory = folders.examples.parents[1]
    with devices.precision_on_cpu(config):
        network = job.build_network()
        with job.stage_inputs(network, directory) as inputs:
            yield 'Trainer: embedding'
            train(job, network, inputs)
            yield 'Trainer: epochs'


def predict(folders: Folders) -> Parts:
    from components.evaluation.predictions.prediction_files import writing
    from components.evaluation.predictions.split_images import batches, read_images
    from components.inference.classifier import Classifier

    classifier = Classifier(folders.artifact('Trainer/model/*') / 'Format-Serving')
    files = [file for split in ('train', 'eval', 'test') for file in folders.split(split)]
    yield ''
    with writing(folders.examples.parents[1] / 'predicted') as writer:
        for batch in batches(read_images(files)):
            labels, rows = classifier.labels_of_images([image.contents for image in batch])
            for image, label, row in zip(batch, labels, rows, strict=True):
                writer.add(image, int(label), row)
    yield 'Predictor'


def write_predictions(folders: Folders) -> Parts:
    from common import features
    from components.evaluation.predictions.prediction_files import writing
    from components.evaluation.predictions.split_images import RecordedImage

    random = np.random.default_rng(0)
    yield ''
    with writing(folders.predictions) as writer:
        for number in range(folders.images):
            label = number % 2
            low, high = (0.0, 0.7) if label == 0 else (0.3, 1.0)
            score = np.array([random.uniform(low, high)], np.float32)
            measures: dict[str, str | float] = {
                features.CLASS_NAME: CLASSES[label],
                features.BRIGHTNESS: float(random.uniform()),
                features.SHARPNESS: float(random.normal(6.5, 0.8)),
                features.ASPECT: 1.0,
            }
            image = RecordedImage(b'', label, f'{number}.jpg', random.bytes(32).hex(), measures)
            writer.add(image, int(score[0] >= 0.5), score)
    yield 'Predictor: writing'


def search_duplicates(folders: Folders) -> Parts:
    from components.image_example_gen.ingestion.assignment import SplitAssignment
    from components.image_example_gen.ingestion.splits import boundaries
    from components.image_example_gen.inspection.check_config import CheckConfig
    from components.image_example_gen.sources.base.data_config import SplitConfig

    known = index_of(folders.images)
    yield ''
    limits = boundaries(SplitConfig())
    SplitAssignment(known, known[:0], known[:0], CheckConfig().near_distance, limits)
    yield 'duplicate search'


def index_of(images: int, seed: int = 0) -> np.ndarray:
    """An index of images with random digests and hashes: IMAGE [images]."""
    from components.image_example_gen.ingestion.duplicates import IMAGE

    random = np.random.default_rng(seed)
    index = np.zeros(images, IMAGE)
    for name in ('sha256', 'perceptual'):
        index[name] = random.integers(0, 256, (images, 32), np.uint8)
    index['label'] = np.arange(images) % 2
    index['split'] = random.choice(3, images, p=(0.6, 0.2, 0.2))
    return index


def find_held_out(folders: Folders) -> Parts:
    from components.evaluation.held_out.component import find_held_out
    from components.image_example_gen.inspection.check_config import CheckConfig
    from trainer.training.trained_images import TRAINED_IMAGE

    images = index_of(folders.images)
    seen = images[images['split'] < 2][['sha256', 'perceptual', 'group']].astype(TRAINED_IMAGE)
    yield ''
    find_held_out([images], [seen, seen], CheckConfig().near_distance, CLASSES)
    yield 'HeldOutFilter'


def evaluate(folders: Folders) -> Parts:
    import apache_beam as beam
    from tfx.types import standard_artifacts

    from components.evaluation.held_out.component import HeldOutImages
    from components.evaluation.held_out.held_out_files import HeldOut, write_held_out
    from components.evaluation.metrics.component import Evaluator
    from components.evaluation.predictions.component import Predictions

    artifacts = [Predictions() for _ in range(3)]
    for each, used in zip(artifacts, (True, True, False), strict=True):  # with a live model
        each.uri = str(folders.predictions if used else folders.predictions.parent / 'none')
    artifacts[0].set_string_custom_property('test_images', '')
    held_out, evaluation = HeldOutImages(), standard_artifacts.ModelEvaluation()
    held_out.uri = str(folders.predictions.parent / 'held_out')
    Path(held_out.uri).mkdir(exist_ok=True)
    evaluation.uri = str(folders.evaluation)
    kept = dict.fromkeys(CLASSES, folders.images // 2)
    names = ('seen', 'repeated', 'same_bytes', 'near_duplicates', 'same_group', 'kept')
    counts = HeldOut(**dict.fromkeys(names, 0), kept_by_class=kept)
    write_held_out(Path(held_out.uri), counts, [])
    function = Evaluator.EXECUTOR_SPEC.executor_class._FUNCTION
    yield ''
    function(*artifacts, held_out, evaluation, json.dumps(CLASSES), '', beam.Pipeline())
    yield 'Evaluator'


def decide(folders: Folders) -> Parts:
    from components.evaluation.config import EvaluationConfig
    from components.evaluation.gate.rules import apply_rules
    from components.evaluation.metrics.evaluation_files import read_evaluation
    from components.serving_check.measurements import Measurements

    (measured,) = folders.root.glob(
        'model/*/artifacts/ServingCheck/infra_blessing/*/measurements.json'
    )
    measurements = Measurements.model_validate_json(measured.read_bytes())
    import tensorflow_model_analysis  # noqa: F401  # imported by `read_evaluation`

    yield ''
    apply_rules(read_evaluation(folders.evaluation, CLASSES, 0.5), measurements, EvaluationConfig())
    yield 'ModelGate'


def sample_predictions(folders: Folders) -> Parts:
    from components.evaluation.predictions.prediction_files import candidate_rows, sample_of

    yield ''
    sample_of(candidate_rows(folders.predictions, frozenset()), 400)
    yield 'RobustnessEvaluator: sample'


class Node(NamedTuple):
    """A measurement; its function yields once before the measured part, and after each part."""

    measure: Callable[[Folders], Parts]
    most: int  # images
    simulated: bool = False


NODES = {
    'duplicates': Node(search_duplicates, 1_000_000, simulated=True),
    'held_out': Node(find_held_out, 1_000_000, simulated=True),
    'writing': Node(write_predictions, 1_000_000, simulated=True),
    'sample': Node(sample_predictions, 1_000_000, simulated=True),
    'evaluator': Node(evaluate, 1_000_000, simulated=True),
    'gate': Node(decide, 100_000, simulated=True),
    'ingest': Node(ingest, 100_000),
    'statistics': Node(generate_statistics, 100_000),
    'predict': Node(predict, 10_000),
    'train': Node(train_model, 10_000),
}


def measure(name: str, root: str, images: int) -> list[dict[str, Any]]:
    """Runs a node in this process; returns the parts as dictionaries of GrowthPoint."""
    node = NODES[name]
    found: list[dict[str, Any]] = []
    start = 0.0
    for part in node.measure(Folders(Path(root), images)):
        now = time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if part:
            point = GrowthPoint(
                node=part,
                images=images,
                cpu_seconds=now - start,
                peak_mb=peak,
                simulated=node.simulated,
            )
            found.append(point.model_dump())
        start = time.process_time()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--sizes', type=int, nargs='+', default=SIZES, help='numbers of images')
    parser.add_argument('--nodes', nargs='+', choices=NODES, default=list(NODES), help='in order')
    parser.add_argument('--json', type=Path, help='file for the measurements')
    arguments = parser.parse_args()
    console = Console(highlight=False, width=100, stderr=True)
    points: list[GrowthPoint] = []
    with tempfile.TemporaryDirectory() as folder:
        if {'train', 'predict', 'gate'} & set(arguments.nodes):
            timed(*DEMO, '--workdir', f'{folder}/model', *overrides(MODEL))
        for name in arguments.nodes:
            for images in arguments.sizes:
                if images > NODES[name].most:
                    continue
                run = timed('benchmarks/growth.py', 'measure', name, folder, images)
                points += [GrowthPoint(**each) for each in json.loads(run.last_line)]
                if arguments.json:
                    text = json.dumps([each.model_dump() for each in points], indent=1)
                    arguments.json.write_text(text + '\n')
    console.print(machine())
    console.print(growth_table(points))


def growth_table(points: list[GrowthPoint]) -> Table:
    """CPU milliseconds per image and peak memory of each node."""
    table = Table('node', 'images', 'CPU ms per image', 'peak memory, MB')
    for point in sorted(points, key=lambda each: (each.node, each.images)):
        milliseconds = 1000 * point.cpu_seconds / point.images
        table.add_row(
            point.node, f'{point.images:,}', f'{milliseconds:.3f}', f'{point.peak_mb:,.0f}'
        )
    return table


if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ['measure']:
        print(json.dumps(measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
    else:
        main()
