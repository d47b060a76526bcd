"""Images for benchmarks: finds, joins and writes folders with a folder per class."""

import itertools
import sys
import tempfile
from pathlib import Path

from timed_commands import ROOT

sys.path.insert(0, str(ROOT))

from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import LabelledImage, every_image
from components.image_example_gen.sources.detect import data_overrides
from components.image_example_gen.sources.spans import make_source
from pipeline.config.recipe import Recipe


def find_photographs(data: str | None) -> tuple[Path, Path]:
    """Folder of photographs and file of weights in CATDOG_DATA.

    Raises:
        SystemExit: CATDOG_DATA is not set or incomplete.
    """
    if not data:
        sys.exit('this recipe needs photographs: set CATDOG_DATA')
    folder = Path(data).resolve()
    weights = sorted(folder.glob('weights/*.h5'))
    if not weights or not (folder / 'cats_and_dogs').is_dir():
        sys.exit(f'CATDOG_DATA={data} does not contain cats_and_dogs/ and weights/*.h5')
    return folder / 'cats_and_dogs', weights[0]


def join_images(paths: list[str], folder: Path) -> Path:
    """Joins folders and archives of images in one folder with a folder per class."""
    for number, path in enumerate(paths):
        values = {key.removeprefix('data.'): value for key, value in data_overrides(path)}
        config = DataConfig.model_validate({k: v for k, v in values.items() if v is not None})
        source = make_source(config)
        for place, image in enumerate(every_image(source)):
            if isinstance(image, LabelledImage):
                target = folder / source.classes[image.label]
                target.mkdir(parents=True, exist_ok=True)
                name = f'{number}-{place:06d}{Path(image.filename).suffix}'
                (target / name).write_bytes(image.contents)
    return folder


def write_image_folders(recipe: Recipe, folder: Path) -> int:
    """Writes the images of a recipe's source as files, in the pipeline's splits.

    Returns the number of images of the source.
    """
    import apache_beam as beam

    from components.image_example_gen.ingestion.span import ingest_span

    source = make_source(recipe.data)
    with tempfile.TemporaryDirectory() as name:
        records = Path(name, 'records')
        ingest_span(source, recipe.data, (records, Path(name, 'quarantine')), beam.Pipeline)
        write_images(records, folder)
    return source.count


def write_images(records: Path, folder: Path) -> None:
    """Writes ingested images as files: a folder per split, and in it one per class."""
    import tensorflow as tf

    from common import features
    from components.image_example_gen.ingestion.transforms import example_in, read_frames

    for split in features.SPLITS:
        files = sorted(records.glob(f'Split-{split}/*'))
        for number, frame in enumerate(itertools.chain(*map(read_frames, files))):
            found = tf.train.Example.FromString(example_in(frame)).features.feature
            (class_name,) = found[features.CLASS_NAME].bytes_list.value
            target = folder / split / class_name.decode()
            target.mkdir(parents=True, exist_ok=True)
            (contents,) = found[features.IMAGE_BYTES].bytes_list.value
            (target / f'{number:06d}.jpg').write_bytes(contents)
