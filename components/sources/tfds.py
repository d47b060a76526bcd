"""Images of a TensorFlow Datasets data set."""

import contextlib
from collections.abc import Iterator

from components.sources.base import DataError, LabelledImage
from trainer import progress

_RETRIES = 4


class TfdsSource:
    """An image classification set of TensorFlow Datasets; all its splits together.

    It is downloaded once, to where TensorFlow Datasets keeps its data.

    Raises:
        DataError: there is no such set, it cannot be fetched, or it is not one of two classes.
    """

    def __init__(self, name: str) -> None:
        import tensorflow_datasets as tfds  # slow, and only this source needs it

        try:
            self._builder = tfds.builder(name)
        except (tfds.core.DatasetNotFoundError, AssertionError, ImportError, ValueError) as error:
            raise DataError(f'TensorFlow Datasets has no data set {name!r}') from error
        features = dict(self._builder.info.features or {})
        image, label = (features.get(key) for key in ('image', 'label'))
        if not isinstance(image, tfds.features.Image) or getattr(label, 'num_classes', 0) != 2:
            raise DataError(f'data set {name!r} is not an image set with two classes')
        self._fetch(name)
        info = self._builder.info
        self.classes = tuple(info.features['label'].names)
        self.count = sum(split.num_examples for split in info.splits.values())
        self.fingerprint = info.full_name

    def _fetch(self, name: str) -> None:
        if not self._builder.is_prepared():
            progress.console().print(f'fetching {name} with TensorFlow Datasets ...')
        try:
            with _few_retries():
                self._builder.download_and_prepare()
        except Exception as error:  # whatever the network, the disk or the archive may raise
            raise DataError(
                f'TensorFlow Datasets could not fetch {name!r} ({type(error).__name__}); '
                'with images of your own give --data PATH (a folder per class, or Parquet), '
                'and --weights FILE if ImageNet weights are not at hand either'
            ) from error

    def images(self) -> Iterator[LabelledImage]:
        import tensorflow_datasets as tfds

        for split in sorted(self._builder.info.splits):
            records = self._builder.as_dataset(
                split=split, decoders={'image': tfds.decode.SkipDecoding()}, shuffle_files=False
            )
            for number, record in enumerate(records.as_numpy_iterator()):
                name = record.get('image/filename', f'{split}/{number}'.encode())
                yield LabelledImage(record['image'], int(record['label']), name.decode())


@contextlib.contextmanager
def _few_retries() -> Iterator[None]:
    """Without a network TensorFlow Datasets would try ten times and wait 200 s in between."""
    from tensorflow_datasets.core.download import downloader

    usual, downloader.MAX_RETRIES = downloader.MAX_RETRIES, _RETRIES
    try:
        yield
    finally:
        downloader.MAX_RETRIES = usual
