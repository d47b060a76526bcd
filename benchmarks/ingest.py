"""ImageExampleGen's rate and memory on a set of images, and on one that is twelve times as large.

Usage: ingest.py [FOLDER]. The larger set holds the same images mirrored, turned and cropped, for
copies would be left out. Each ingestion runs in a process of its own, so that its peak memory is its
own. Without a folder: cats_and_dogs/ in CATDOG_DATA, or else the embedded drawings.
"""

import concurrent.futures
import functools
import io
import json
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

import PIL.Image
from rich.console import Console
from rich.table import Table
from run import ROOT, machine, timed

sys.path.insert(0, str(ROOT))

TURNS = (None, *PIL.Image.Transpose)  # eight
CROPS = (1.0, 0.6)
VARIANTS = [(turn, crop) for crop in CROPS for turn in TURNS][:12]  # beside the image itself
IMAGES = 25_000


def ingest(folder: str, target: str) -> None:
    """ImageExampleGen's executor on a folder; prints its seconds and images."""
    import time

    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import standard_artifacts

    from components.image_example_gen import ImageExampleGenExecutor
    from components.ingestion.quarantine import Quarantine
    from components.ingestion.span import read_ingested
    from components.sources.config import DataConfig
    from pipeline.beam import BeamConfig, beam_args

    data = DataConfig(source='folder', path=Path(folder))
    examples, quarantine = standard_artifacts.Examples(), Quarantine()
    examples.uri, quarantine.uri = f'{target}/examples/1', f'{target}/quarantine/1'
    context = BaseBeamExecutor.Context(beam_args(BeamConfig(), IMAGES), tmp_dir=target)
    start = time.perf_counter()
    ImageExampleGenExecutor(context).Do(
        {}, {'examples': [examples], 'quarantine': [quarantine]}, {'data': data.model_dump_json()}
    )
    seconds = time.perf_counter() - start
    tally = read_ingested(Path(target, 'examples/1/span-1')).tally
    print(json.dumps({'seconds': seconds, 'seen': tally.seen, 'used': tally.used}))


def vary(
    source: Path, target: Path, variants: list[tuple[PIL.Image.Transpose | None, float]]
) -> None:
    """Writes an image as it is, and as different pictures of about the same size."""
    contents = source.read_bytes()
    (target / source.name).write_bytes(contents)
    with PIL.Image.open(io.BytesIO(contents)) as image:
        whole = image.convert('RGB')
    for number, (turn, crop) in enumerate(variants[1:]):
        width, height = whole.size
        left, top = int(width * (1 - crop)), int(height * (1 - crop))
        changed = whole.crop((left, top, width, height)).resize(whole.size)
        changed = changed if turn is None else changed.transpose(turn)
        changed.save(target / f'{source.stem}-{number}.jpg', quality=85)


def write_images(source: Path, target: Path, variants: int) -> Path:
    """A folder of class folders with that many variants of each image."""
    with concurrent.futures.ProcessPoolExecutor(
        mp_context=multiprocessing.get_context('spawn')
    ) as pool:
        for folder in sorted(each for each in source.iterdir() if each.is_dir()):
            (target / folder.name).mkdir(parents=True)
            work = functools.partial(
                vary, target=target / folder.name, variants=[(None, 1.0), *VARIANTS[1:]][:variants]
            )
            list(pool.map(work, sorted(folder.glob('*.jpg')), chunksize=20))
    return target


def measure(source: Path, console: Console) -> Table:
    """Ingests both sets, and a second time what is there already."""
    table = Table('images', 'seconds', 'images/s', 'peak memory, MB', title_justify='left')
    table.title = 'Ingestion'
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rates = []
        for variants in (1, len(VARIANTS) + 1):
            images = write_images(source, folder / f'images-{variants}', variants)
            run = timed('benchmarks/ingest.py', 'ingest', images, folder / f'out-{variants}')
            found = json.loads(run.last_line)
            rates.append(found['seen'] / found['seconds'])
            numbers = f'{found["seen"]}', f'{found["seconds"]:.1f}', f'{rates[-1]:.0f}'
            table.add_row(*numbers, f'{run.peak_mb:.0f}')
    console.print(f'{rates[1] / rates[0]:.2f} of the rate on the larger set')
    return table


def main(source: Path) -> None:
    console = Console(highlight=False, width=100)
    console.print(machine())
    console.print(measure(source, console))


if __name__ == '__main__':
    if sys.argv[1:2] == ['ingest']:
        ingest(*sys.argv[2:])
    else:
        given = (
            sys.argv[1] if len(sys.argv) > 1 else Path(os.environ['CATDOG_DATA'], 'cats_and_dogs')
        )
        main(Path(given))
