"""Source for image data sets of TensorFlow Datasets."""

import dataclasses
import functools
import logging
from pathlib import Path

from common.errors import DataError
from components.image_example_gen.sources import tfrecord
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import Source

_log = logging.getLogger(__name__)


def open_source(config: DataConfig) -> Source:
    """Opens a data set of TensorFlow Datasets, such as `cats_vs_dogs`.

    It is downloaded once, to the folder of TensorFlow Datasets (`TFDS_DATA_DIR`), and stored in
    TFRecords. Its splits train, validation and test are those of the pipeline.

    Raises DataError if the data set is unknown, cannot be downloaded, or does not have images with
    named classes.
    """
    import tensorflow_datasets as tfds  # slow to import

    name = config.dataset
    try:
        builder = tfds.builder(name)
    except (tfds.core.DatasetNotFoundError, AssertionError, ImportError, ValueError) as error:
        raise DataError(f'TensorFlow Datasets has no data set {name!r}') from error
    features = dict(builder.info.features or {})
    names = getattr(features.get('label'), 'names', None)
    if not isinstance(features.get('image'), tfds.features.Image) or not names:
        raise DataError(f'data set {name!r} has no images with named classes')
    try:
        if not builder.is_prepared():
            _log.info('downloading %s with TensorFlow Datasets ...', name)
        builder.download_and_prepare()
    except Exception as error:  # of the network, the disk or the archive
        raise DataError(
            f'TensorFlow Datasets cannot download data set {name!r} ({type(error).__name__}); '
            'to use local images, give --data PATH'
        ) from error
    read = functools.partial(tfrecord.read_examples, names=tuple(names))
    place = config.model_copy(update={'path': Path(builder.data_dir)})
    source = tfrecord.open_source(place, read)
    return dataclasses.replace(source, fingerprint=builder.info.full_name)
