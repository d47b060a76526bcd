import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import every_image
from components.image_example_gen.sources.spans import make_source


class TinyDigits(tfds.testing.DummyMnist):
    """Ten classes, 20 images in each of two splits, and no file names."""


@pytest.fixture(scope='module', autouse=True)
def data_directory(tmp_path_factory):
    """The folder of TensorFlow Datasets, in which each data set is prepared once."""
    folder = tmp_path_factory.mktemp('tfds')
    with pytest.MonkeyPatch.context() as patch:
        # The environment variable is read once, when the library is imported.
        patch.setattr(tfds.core.constants, 'DATA_DIR', str(folder))
        yield folder


def source_of(dataset='tiny_digits', **keys):
    return make_source(DataConfig(source='tfds', dataset=dataset, **keys))


def test_yields_encoded_images_in_the_parts_of_the_data_set(data_directory):
    source = source_of()
    images = [*every_image(source)]

    assert (source.classes, source.count) == (tuple('0123456789'), 40)
    assert source.fingerprint.startswith('tiny_digits/')
    assert [image.part for image in images] == ['test'] * 20 + ['train_and_eval'] * 20
    assert len({image.filename for image in images}) == 40
    assert tf.io.decode_png(images[0].contents).shape == (28, 28, 1)

    selected = [
        getattr(image, 'label', None) for image in every_image(source_of(classes=['7', '2']))
    ]
    assert selected == [{2: 1, 7: 0}.get(image.label) for image in images]

    (file,) = data_directory.glob('tiny_digits/*/*test.tfrecord*')
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(DataError, match=r'tiny_digits/.* cannot be read: \S'):
        list(every_image(source))


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('cats_vs_dgs', "^TensorFlow Datasets has no data set 'cats_vs_dgs'$"),
        ('tiny_digits:9.9.9', "^TensorFlow Datasets has no data set 'tiny_digits:9.9.9'$"),
        ('imdb_reviews', "^data set 'imdb_reviews' has no images with named classes"),
        ('coco', "^data set 'coco' has no images with named classes"),
    ],
)
def test_rejects_unsuitable_data_set_before_download(name, message, monkeypatch):
    monkeypatch.delattr(tfds.core.DatasetBuilder, 'download_and_prepare')
    with pytest.raises(DataError, match=message):
        source_of(name)
