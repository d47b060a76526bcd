"""Makes a Job from a source of images. Beam pickles functions by module, so not in a conftest."""

from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import metadata_io

from components.image_example_gen.ingestion.span import ingest_span
from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.base.source_protocol import Source
from pipeline.schema import schema_for
from trainer.config.train import TrainConfig
from trainer.data.dataset import open_splits
from trainer.preprocessing import preprocessing_fn
from trainer.training.job import Job
from trainer.training.timing import Timings


def job_maker(source: Source, image_size: int, folder: Path) -> Callable[[TrainConfig], Job]:
    """Ingests and transforms the images of a source without TFX; returns a factory of Jobs."""
    targets = folder / 'records', folder / 'quarantine'
    ingest_span(source, DataConfig(), [], *targets, beam.Pipeline)
    transform = tft.TFTransformOutput(str(_transform_graph(source, image_size, folder)))
    files = {
        split: [str(folder / 'records' / f'Split-{split}' / '*')] for split in ('train', 'eval')
    }
    splits = open_splits(files, transform)
    return lambda config: Job(config, source.classes, transform, splits, Timings())


def _transform_graph(source: Source, image_size: int, folder: Path) -> Path:
    metadata = tft.DatasetMetadata(schema_for(source.classes))
    with beam.Pipeline() as pipeline, tft_beam.Context(temp_dir=str(folder / 'tmp')):
        images = pipeline | beam.Create([])  # the graph needs no analysis of data
        transform_fn = (images, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, {'image_size': image_size})
        )
        transform_fn | tft_beam.WriteTransformFn(str(folder / 'graph'))
    metadata_io.write_metadata(metadata, str(folder / 'graph' / 'metadata'))
    return folder / 'graph'
