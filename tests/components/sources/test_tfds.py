import socket

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
import urllib3.util.retry

from components.sources.base import DataError
from components.sources.tfds import TfdsSource


def image(number: int) -> np.ndarray:
    return np.full((24, 32, 3), 10 * number, np.uint8)


class TinyPets(tfds.core.GeneratorBasedBuilder):
    """Six images of two classes, in two splits."""

    VERSION = tfds.core.Version('1.0.0')

    def _info(self):
        described = {
            'image': tfds.features.Image(shape=(None, None, 3)),
            'image/filename': tfds.features.Text(),
            'label': tfds.features.ClassLabel(names=['cat', 'dog']),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(described))

    def _split_generators(self, dl_manager):
        return {'train': self._generate_examples(0, 4), 'test': self._generate_examples(4, 6)}

    def _generate_examples(self, first, last):
        for n in range(first, last):
            yield n, {'image': image(n), 'image/filename': f'pet-{n}.png', 'label': n % 2}


class TinyDigits(tfds.testing.DummyMnist):
    """Ten classes, and no file names."""


@pytest.fixture(autouse=True)
def data_directory(tmp_path, monkeypatch):
    # The environment variable is read once, when the library is imported.
    monkeypatch.setattr(tfds.core.constants, 'DATA_DIR', str(tmp_path))
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    """Names are not resolved; gives those that were asked for. No wait before the next attempt."""
    asked = []

    def unknown(host, *_, **__):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')

    monkeypatch.setattr(socket, 'getaddrinfo', unknown)
    monkeypatch.setattr(urllib3.util.retry.Retry, 'get_backoff_time', lambda _: 0)
    return asked


def test_a_data_set_gives_the_classes_and_images_of_all_its_splits():
    source = TfdsSource('tiny_pets')

    assert source.classes == ('cat', 'dog')
    assert source.count == 6
    assert source.fingerprint == 'tiny_pets/1.0.0'


def test_images_come_encoded_with_their_labels_and_names():
    images = {given.filename: given for given in TfdsSource('tiny_pets').images()}

    assert sorted(images) == [f'pet-{n}.png' for n in range(6)]
    for n in range(6):
        given = images[f'pet-{n}.png']
        assert given.label == n % 2
        np.testing.assert_array_equal(tf.io.decode_png(given.contents), image(n))


def test_images_come_in_the_same_order_every_time():
    assert list(TfdsSource('tiny_pets').images()) == list(TfdsSource('tiny_pets').images())


def test_a_data_set_is_prepared_once(data_directory):
    TfdsSource('tiny_pets')
    (record, *_) = data_directory.glob('tiny_pets/1.0.0/*tfrecord*')
    before = record.stat().st_mtime_ns

    TfdsSource('tiny_pets')

    assert record.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    'name', ['cats_vs_dgs', 'Cats And Dogs', 'tiny_pets/other', 'tiny_pets:9.9.9']
)
def test_an_unknown_data_set_is_named(name):
    with pytest.raises(DataError, match=f"^TensorFlow Datasets has no data set '{name}'$"):
        TfdsSource(name)


@pytest.mark.parametrize('name', ['tiny_digits', 'cifar10', 'imdb_reviews', 'coco'])
def test_a_set_without_two_classes_of_images_is_refused_before_it_is_fetched(name, no_network):
    with pytest.raises(
        DataError, match=f"^data set '{name}' is not an image set with two classes$"
    ):
        TfdsSource(name)


def test_without_a_network_the_way_out_is_told(no_network):
    sentence = (
        r"^TensorFlow Datasets could not fetch 'cats_vs_dogs' \(ConnectionError\); .* --data PATH"
    )
    with pytest.raises(DataError, match=sentence):
        TfdsSource('cats_vs_dogs')


def test_without_a_network_nobody_waits_for_minutes(no_network):
    with pytest.raises(DataError, match='could not fetch'):
        TfdsSource('cats_vs_dogs')

    assert 2 <= len(no_network) <= 5  # each wait is twice as long as the one before
