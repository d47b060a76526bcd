"""Images of a TensorFlow Datasets data set."""

from collections.abc import Iterator

from components.sources.base import DataError, LabelledImage


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
        except tfds.core.DatasetNotFoundError as error:
            raise DataError(f'TensorFlow Datasets has no data set {name!r}') from error
        try:
            self._builder.download_and_prepare()
        except Exception as error:  # whatever the network, the disk or the archive may raise
            raise DataError(
                f'TensorFlow Datasets could not fetch {name!r} ({type(error).__name__}); '
                'with images of your own give --data FOLDER (one folder per class)'
            ) from error
        info = self._builder.info
        if not {'image', 'label'} <= set(info.features or ()) or info.features['label'].num_classes != 2:
            raise DataError(f'data set {name!r} is not an image set with two classes')
        self.classes = tuple(info.features['label'].names)
        self.count = sum(split.num_examples for split in info.splits.values())
        self.fingerprint = info.full_name

    def images(self) -> Iterator[LabelledImage]:
        import tensorflow_datasets as tfds

        for split in sorted(self._builder.info.splits):
            records = self._builder.as_dataset(
                split=split, decoders={'image': tfds.decode.SkipDecoding()}, shuffle_files=False
            )
            for number, record in enumerate(records.as_numpy_iterator()):
                name = record.get('image/filename', f'{split}/{number}'.encode())
                yield LabelledImage(record['image'], int(record['label']), name.decode())
