"""Rate and memory of ImageExampleGen on a data set and on one thirteen times as large.

Usage: ingest.py [FOLDER]. The larger set holds each image and twelve variants of it (mirrored,
rotated, cropped), because ingestion drops duplicates. Each ingestion runs in a subprocess to
measure its own peak memory. Without FOLDER: cats_and_dogs/ in CATDOG_DATA, else the demo's
drawings.
"""

import concurrent.futures
import functools
import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import PIL.Image
from pipeline_benchmark import ROOT, machine, timed
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(ROOT))

TURNS = (None, *PIL.Image.Transpose)  # eight
VARIANTS = [(turn, crop) for crop in (1.0, 0.6) for turn in TURNS][1:13]
QUALITY = 85


def ingest(folder: str, target: str) -> None:
    """Runs ImageExampleGen's executor on a folder; prints its seconds, images and CPU seconds."""
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import standard_artifacts

    from common import console
    from components.image_example_gen.component import ImageExampleGenExecutor
    from components.image_example_gen.ingestion.quarantine import Quarantine
    from components.image_example_gen.ingestion.span import read_ingested
    from components.image_example_gen.sources.base.config import DataConfig

    data = DataConfig(source='folder', path=Path(folder))
    examples, quarantine = standard_artifacts.Examples(), Quarantine()
    examples.uri, quarantine.uri = f'{target}/examples/1', f'{target}/quarantine/1'
    executor = ImageExampleGenExecutor(BaseBeamExecutor.Context([], tmp_dir=target))
    start = time.perf_counter()
    with Path(os.devnull).open('w') as nowhere, console.output_to(nowhere):
        executor.Do(
            {},
            {'examples': [examples], 'quarantine': [quarantine]},
            {'data': data.model_dump_json()},
        )
    seconds = time.perf_counter() - start
    tally = read_ingested(Path(target, 'examples', '1', 'span-1')).tally
    print(json.dumps({'seconds': seconds, 'cpu': time.process_time(), 'seen': tally.seen}))


def vary(source: Path, target: Path) -> None:
    """Writes an image and its variants, all of the same size."""
    (target / source.name).write_bytes(source.read_bytes())
    with PIL.Image.open(source) as image:
        whole = image.convert('RGB')
    width, height = whole.size
    for number, (turn, crop) in enumerate(VARIANTS):
        left, top = int(width * (1 - crop)), int(height * (1 - crop))
        changed = whole.crop((left, top, width, height)).resize(whole.size)
        changed = changed if turn is None else changed.transpose(turn)
        changed.save(target / f'{source.stem}-{number}.jpg', quality=QUALITY)


def write_variants(source: Path, target: Path) -> Path:
    """Writes each image of the class folders of `source` with its variants to `target`."""
    context = multiprocessing.get_context('spawn')
    with concurrent.futures.ProcessPoolExecutor(mp_context=context) as pool:
        for folder in sorted(each for each in source.iterdir() if each.is_dir()):
            (target / folder.name).mkdir(parents=True)
            work = functools.partial(vary, target=target / folder.name)
            list(pool.map(work, sorted(folder.glob('*.jpg')), chunksize=20))
    return target


def write_drawings(target: Path) -> Path:
    """Writes the demo's drawings to class folders."""
    from components.image_example_gen.sources.base.source_protocol import LabelledImage, every_image
    from components.image_example_gen.sources.drawings.source import DrawingsSource

    source = DrawingsSource(2000, 0)
    for image in every_image(source):
        assert isinstance(image, LabelledImage)
        path = target / source.classes[image.label] / image.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.contents)
    return target


def main(given: str | None) -> None:
    table = Table('images', 'seconds', 'CPU seconds', 'images/s', 'peak memory, MB')
    rates = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = Path(given) if given else write_drawings(folder / 'drawings')
        for images in (small, write_variants(small, folder / 'variants')):
            run = timed('benchmarks/ingest.py', 'ingest', images, folder / f'to-{images.name}')
            found = json.loads(run.last_line)
            rates.append(found['seen'] / found['seconds'])
            numbers = found['seen'], found['seconds'], found['cpu'], rates[-1], run.peak_mb
            table.add_row(*(f'{each:,.1f}' if each < 100 else f'{each:,.0f}' for each in numbers))
    console = Console(highlight=False, width=100)
    console.print(machine())
    console.print(table)
    console.print(f'rate of the larger set / rate of the smaller set: {rates[1] / rates[0]:.2f}')


if __name__ == '__main__':
    if sys.argv[1:2] == ['ingest']:
        ingest(*sys.argv[2:])
    else:
        photographs = Path(os.environ.get('CATDOG_DATA', ''), 'cats_and_dogs')
        default = str(photographs) if photographs.is_dir() else None
        main(sys.argv[1] if len(sys.argv) > 1 else default)
