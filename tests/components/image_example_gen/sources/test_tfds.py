import socket

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from common.errors import DataError
from components.image_example_gen.sources.base import source_protocol
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import every_image
from components.image_example_gen.sources.tfds import TfdsShard, TfdsSource


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


@pytest.fixture
def no_network(monkeypatch):
    """Disables name resolution; returns the requested host names."""
    requested = []

    def unknown(host, *_, **__):
        requested.append(host)
        raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')

    monkeypatch.setattr(socket, 'getaddrinfo', unknown)
    return requested


def source_of(dataset='tiny_digits', **keys):
    return TfdsSource(DataConfig(source='tfds', dataset=dataset, **keys))


def test_yields_encoded_images_in_the_parts_of_the_data_set(monkeypatch):
    monkeypatch.setattr(source_protocol, 'IMAGES_PER_SHARD', 10)
    source = source_of()

    parts = [[*shard.images()] for shard in source.shards()]

    assert (source.classes, source.count) == (tuple('0123456789'), 40)
    assert source.fingerprint.startswith('tiny_digits/')
    assert [len(part) for part in parts] == [10] * 4
    images = [image for part in parts for image in part]
    names = [f'{split}/{number}' for split in ('test', 'train') for number in range(20)]
    assert [image.filename for image in images] == names
    assert [image.part for image in images] == ['test'] * 20 + ['train_and_eval'] * 20
    assert tf.io.decode_png(images[0].contents).shape == (28, 28, 1)


def test_split_without_labels_is_left_out(monkeypatch):
    monkeypatch.setattr(
        TfdsShard, 'first_label', lambda shard: 0 if shard.split == 'train' else None
    )
    source = source_of()

    assert source.count == 20
    assert {image.part for image in every_image(source)} == {None}
    assert any('20 images of test: left out' in note for note in source.notes)


def test_recipe_renames_or_selects_classes():
    renamed = source_of(classes=dict(zip('0123456789', 'abcdefghij', strict=True)))
    assert renamed.classes == tuple('abcdefghij')
    selected = every_image(source_of(classes=('7', '2')))
    expected = [{2: 1, 7: 0}.get(image.label) for image in every_image(renamed)]
    assert [getattr(image, 'label', None) for image in selected] == expected


def test_pattern_groups_images_by_file_name():
    grouped = source_of(group_by={'pattern': r'(\d)$'})
    assert [image.group for image in every_image(grouped)] == [*'0123456789'] * 4


def test_damaged_records_are_an_error(data_directory):
    source = source_of()
    (file,) = data_directory.glob('tiny_digits/*/*test.tfrecord*')
    contents = file.read_bytes()
    file.write_bytes(contents[:-5])
    source_of()  # is not prepared again

    with pytest.raises(DataError, match=r'^test\[0:20\] of .*tiny_digits/.* cannot be read: \S'):
        list(every_image(source))
    file.write_bytes(contents)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('cats_vs_dgs', "^TensorFlow Datasets has no data set 'cats_vs_dgs'$"),
        ('Cats And Dogs', "^TensorFlow Datasets has no data set 'Cats And Dogs'$"),
        ('tiny_digits:9.9.9', "^TensorFlow Datasets has no data set 'tiny_digits:9.9.9'$"),
        ('imdb_reviews', "^data set 'imdb_reviews' has no images with named classes"),
        ('coco', "^data set 'coco' has no images with named classes"),
    ],
)
def test_rejects_unsuitable_data_set_before_download(name, message, no_network):
    with pytest.raises(DataError, match=message):
        source_of(name)
    assert not no_network


def test_fails_fast_without_network(no_network):
    message = (
        r"^TensorFlow Datasets cannot download data set 'beans' \(ConnectionError\); .* give --data"
    )
    with pytest.raises(DataError, match=message):
        source_of('beans')
    assert len(no_network) == 1
