"""Source for image data sets of TensorFlow Datasets."""

import contextlib
import functools
import logging
from pathlib import Path

import requests

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig, FeatureNames
from components.image_example_gen.sources.tfrecord import TfrecordSource, read_examples

_FEATURES = FeatureNames(image='image', label='label', filename='image/filename')

_log = logging.getLogger(__name__)


class TfdsSource(TfrecordSource):
    """The images of a data set of TensorFlow Datasets, such as `cats_vs_dogs`.

    The data set is downloaded once, to the folder of TensorFlow Datasets (`TFDS_DATA_DIR`), and
    stored in TFRecords. Its splits train, validation and test are those of the pipeline.

    Raises:
        DataError: the data set is unknown, cannot be downloaded, or does not have images of two or
            more named classes.
    """

    def __init__(self, config: DataConfig, *, complete: bool = True) -> None:
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
                # Without a network, the library retries for minutes.
                urls = [url for url in builder.url_infos or () if url.startswith('http')]
                downloads = Path(builder.data_dir_root, 'downloads', builder.name)
                if urls and not any(downloads.glob('*.INFO')):
                    with contextlib.suppress(requests.ReadTimeout):  # the server is slow
                        requests.head(urls[0], timeout=10)
            builder.download_and_prepare()
        except Exception as error:  # of the network, the disk or the archive
            raise DataError(
                f'TensorFlow Datasets cannot download data set {name!r} ({type(error).__name__}); '
                'to use local images, give --data PATH (a folder per class, or Parquet), and '
                '--weights FILE if ImageNet weights cannot be downloaded either'
            ) from error
        self.read = functools.partial(read_examples, names=tuple(names))
        place = {'path': Path(builder.data_dir), 'features': _FEATURES}
        super().__init__(config.model_copy(update=place), complete=complete)
        self.fingerprint = builder.info.full_name
