"""Time and memory of the Trainer on the demo's drawings and on ten copies of them.

Usage: growth.py [IMAGES]. Each training runs in a subprocess to measure its own peak memory; the
components upstream run once.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from pipeline_benchmark import ROOT, machine, overrides, timed
from rich.console import Console
from rich.table import Table

FACTORS = (1, 10)
CHANGES: dict[str, object] = {
    'trainer.augment.cached_views': 2,
    'trainer.fine_tune.epochs': 2,
    'trainer.fine_tune.from_layer': 100,
    'trainer.fine_tune.batch_norm': 'inference',
    'trainer.feature_extraction.epochs': 2,
}
# Parts whose seconds do not depend on the number of images.
FIXED = ('transform graph', 'backbone', 'export')


def train(folder: str, copies: str) -> None:
    """Runs one training on a folder of copies and writes its timings to `timings.json`."""
    import tensorflow_transform as tft

    from pipeline.config.recipe import load_recipe
    from trainer.data.dataset import open_splits
    from trainer.training import devices
    from trainer.training.job import Job, Timings
    from trainer.training.stages import train as train_network

    config = load_recipe('demo', list(CHANGES.items())).trainer
    timings = Timings()
    transform = tft.TFTransformOutput(folder)
    with timings.part('transform graph'):
        files = {split: [f'{copies}/{split}-*.tfrecord'] for split in ('train', 'eval')}
        splits = open_splits(files, transform)
    job = Job(config, ('cat', 'dog'), transform, splits, timings)
    directory = Path(copies)
    with devices.precision_on_cpu(config):
        network = job.build_network()
        with job.stage_inputs(network, directory) as inputs:
            train_network(job, network, inputs, directory / 'logs')
    timings.write(directory / 'timings.json')


def main(images: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        changes = {**CHANGES, 'data.count': images, 'trainer.feature_extraction.epochs': 1}
        timed('pipeline_runner.py', 'run', '--workdir', folder / 'runs', *overrides(changes))
        (graph,) = folder.glob('runs/*/artifacts/Transform/transform_graph/*')
        results = [(factor, *measure(folder, graph, factor)) for factor in FACTORS]
    table = Table('images', 'seconds that grow', 'fixed seconds', 'peak memory, MB')
    for factor, variable, fixed, peak in results:
        numbers = (f'{images * factor}', f'{variable:.1f}', f'{fixed:.1f}', f'{peak:.0f}')
        table.add_row(*numbers)
    (_, first, _, small), (_, last, _, large) = results
    console = Console(highlight=False, width=100)
    console.print(machine())
    console.print(table)
    console.print(f'{last / first:.1f} times the time, {large / small:.2f} times the memory')


def measure(folder: Path, graph: Path, factor: int) -> tuple[float, float, float]:
    """Seconds that grow with the images, fixed seconds, and peak memory in MB."""
    copies = folder / f'copies-{factor}'
    copies.mkdir()
    for split in ('train', 'eval'):
        files = folder.glob(f'runs/*/artifacts/ImageExampleGen/examples/*/span-1/Split-{split}/*')
        for number, file in enumerate(sorted(files)):
            for copy in range(factor):
                shutil.copy(file, copies / f'{split}-{number}-{copy:03d}.tfrecord')
    run = timed('benchmarks/growth.py', 'train', graph, copies)
    timings = json.loads((copies / 'timings.json').read_text())
    seconds = {part: each['seconds'] for part, each in timings.items()}
    variable = sum(value for part, value in seconds.items() if part not in FIXED)
    return variable, sum(seconds.values()) - variable, run.peak_mb


if __name__ == '__main__':
    if sys.argv[1:2] == ['train']:
        sys.path.insert(0, str(ROOT))
        train(*sys.argv[2:])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
