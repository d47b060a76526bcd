"""Time and memory of fine-tuning when only a part of the activations fits into the cache.

Usage: cache_limit.py [DRAWINGS]. Fine-tunes with a cache of 100, 75, 50, 25 and 0 percent of the
needed size, and without a cache, each in a subprocess to measure its own peak memory; the
components upstream run once. Without a number, photographs are read from CATDOG_DATA, if it is set.
"""

import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
from image_folders import find_photographs
from rich.console import Console
from rich.table import Table
from timed_commands import ROOT, machine, overrides, timed

SHARES = ('1', '0.75', '0.5', '0.25', '0', 'off')  # of the needed size; off: without a cache
CHANGES: dict[str, object] = {
    'trainer.augment.cached_views': 2,
    'trainer.feature_extraction.epochs': 0,
    'trainer.fine_tune.epochs': 4,
}
UPSTREAM: dict[str, object] = {
    'trainer.feature_extraction.epochs': 1,
    'trainer.fine_tune.epochs': 0,
    'evaluation.robustness.images': 0,
}


def train(recipe: str, weights: str, share: str, folder: str) -> None:
    """Runs one training and prints a line of JSON.

    The line is a list: number of images, seconds of the cache, and milliseconds and CPU
    milliseconds per image and epoch. The first epoch, which traces the training step, is left out.
    """
    import tensorflow_transform as tft

    from pipeline.config.recipe import load_recipe
    from trainer.data.cache_plan import plan_cache
    from trainer.data.dataset import open_splits
    from trainer.training import callbacks, devices, stages
    from trainer.training.job import Job, Timings

    marks = []  # seconds and CPU seconds at the end of each epoch

    class Clock(callbacks.EpochBars):
        def on_epoch_end(self, epoch: int, logs: callbacks.Logs = None) -> None:
            super().on_epoch_end(epoch, logs)
            marks.append((time.perf_counter(), time.process_time()))

    changes = {**CHANGES, 'trainer.weights': weights, 'trainer.cache': share != 'off'}
    config = load_recipe(recipe, list(changes.items())).trainer
    artifacts, directory = next(Path(folder).glob('runs/*/artifacts')), Path(folder, share)
    (graph,) = artifacts.glob('Transform/transform_graph/*')
    records = f'{artifacts}/ImageExampleGen/examples/*/span-1'
    files = {split: [f'{records}/Split-{split}/*'] for split in ('train', 'eval')}
    transform = tft.TFTransformOutput(str(graph))
    job = Job(config, ('cat', 'dog'), transform, open_splits(files, transform), Timings())
    counts = {name: split.count for name, split in job.splits.items()}
    directory.mkdir()
    with devices.precision_on_cpu(config):
        network = job.build_network()
        if share != 'off':
            plan = plan_cache(config, network.backbone, counts, directory)
            size = sum(counts[split] * stage.image_bytes(split) for split, stage in plan.held)
            limit = max(float(share) * size, 1) / 1e9
            job = dataclasses.replace(job, config=config.replaced({'max_cache_gb': limit}))
        clock = mock.patch.object(stages, 'EpochBars', Clock)
        with job.stage_inputs(network, directory) as inputs, clock:
            stages.train(job, network, inputs)
    job.timings.write(directory / 'timings.json')
    parts = json.loads((directory / 'timings.json').read_text())
    embedding = sum(each['seconds'] for part, each in parts.items() if 'embedding' in part)
    (wall, cpu), images = np.diff(marks[:: len(marks) - 1], axis=0)[0], sum(counts.values())
    epochs = images * (len(marks) - 1)
    print(json.dumps([images, embedding, 1000 * wall / epochs, 1000 * cpu / epochs]))


def main() -> None:
    data, count = os.environ.get('CATDOG_DATA'), sys.argv[1] if len(sys.argv) > 1 else None
    recipe, weights = 'demo', 'embedded'
    options: list[object] = [*overrides({'data.count': count or 2000})]
    if data and not count:
        photographs, file = find_photographs(data)
        recipe, weights = 'filtered_160_finetune100', str(file)
        options = ['--data', photographs, '--weights', file]
    table = Table('cache', 'embedding, s', 'ms per image and epoch', 'CPU ms', 'peak memory, MB')
    with tempfile.TemporaryDirectory() as folder:
        runs = '--workdir', f'{folder}/runs', *options, *overrides(UPSTREAM)
        timed('pipeline_runner.py', 'run', '--config', f'configs/{recipe}.yaml', *runs)
        for share in SHARES:
            run = timed('benchmarks/cache_limit.py', 'train', recipe, weights, share, folder)
            images, *numbers = json.loads(run.last_line)
            name = 'off' if share == 'off' else f'{float(share):.0%} of the need'
            table.add_row(name, *(f'{each:.1f}' for each in numbers), f'{run.peak_mb:.0f}')
    console = Console(highlight=False, width=100)
    console.print(machine())
    console.print(f'{recipe}, {images} images')
    console.print(table)


if __name__ == '__main__':
    if sys.argv[1:2] == ['train']:
        sys.path.insert(0, str(ROOT))
        train(*sys.argv[2:])
    else:
        main()
