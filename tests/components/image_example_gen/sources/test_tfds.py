import io
import pickle
import socket
import zipfile

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import resource
from tensorflow_datasets.image_classification import cats_vs_dogs

from common.errors import DataError
from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.base.source_protocol import BadImage, every_image
from components.image_example_gen.sources.factory import make_source
from components.image_example_gen.sources.tfds import TfdsSource


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
    """Ten classes, 20 images in each of two splits, and no file names."""


@pytest.fixture(autouse=True)
def data_directory(tmp_path, monkeypatch):
    # The environment variable is read once, when the library is imported.
    monkeypatch.setattr(tfds.core.constants, 'DATA_DIR', str(tmp_path))
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    """Disables name resolution; returns the requested host names."""
    requested = []

    def unknown(host, *_, **__):
        requested.append(host)
        raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')

    monkeypatch.setattr(socket, 'getaddrinfo', unknown)
    return requested


def test_combines_all_splits():
    source = TfdsSource('tiny_pets')

    assert source.classes == ('cat', 'dog')
    assert source.count == 6
    assert source.fingerprint == 'tiny_pets/1.0.0'


def test_yields_encoded_images_with_labels_and_names():
    images = {given.filename: given for given in every_image(TfdsSource('tiny_pets'))}

    assert sorted(images) == [f'pet-{n}.png' for n in range(6)]
    for n in range(6):
        given = images[f'pet-{n}.png']
        assert given.label == n % 2
        np.testing.assert_array_equal(tf.io.decode_png(given.contents), image(n))


def test_files_are_divided_into_picklable_shards(monkeypatch):
    monkeypatch.setattr('components.image_example_gen.sources.tfds.IMAGES_PER_SHARD', 6)
    source = TfdsSource('tiny_digits')
    images = list(every_image(source))

    shards = pickle.loads(pickle.dumps(source.shards()))

    parts = [list(shard.images()) for shard in shards]
    assert [len(part) for part in parts] == [5] * 8
    assert [image for part in parts for image in part] == images
    names = [f'{split}/{number}' for split in ('test', 'train') for number in range(20)]
    assert [image.filename for image in images] == names


def test_classes_are_used_or_renamed():
    assert TfdsSource('tiny_digits').classes == tuple('0123456789')

    few = TfdsSource('tiny_pets', ('fox', 'owl'))  # new names for cat and dog
    assert few.classes == ('fox', 'owl')
    assert {image.label for image in every_image(few)} == {0, 1}


def test_images_of_unselected_classes_are_bad():
    selected = every_image(TfdsSource('tiny_digits', ('2', '7')))
    originals = list(every_image(TfdsSource('tiny_digits')))

    assert len(originals) == 40
    for image, original in zip(selected, originals, strict=True):
        if original.label in (2, 7):
            assert image.label == (2, 7).index(original.label)
        else:
            assert isinstance(image, BadImage)
            assert image.reason == 'label outside the list'
            assert image.contents == original.contents


def test_damaged_records_are_an_error(data_directory):
    source = TfdsSource('tiny_pets')
    (file,) = data_directory.glob('tiny_pets/1.0.0/*test.tfrecord*')
    file.write_bytes(file.read_bytes()[:-5])

    with pytest.raises(DataError, match=r'^test\[0:2\] of .*tiny_pets/1\.0\.0 cannot be read: \S'):
        list(every_image(source))


def test_data_set_is_prepared_once(data_directory):
    TfdsSource('tiny_pets')
    (record, *_) = data_directory.glob('tiny_pets/1.0.0/*tfrecord*')
    before = record.stat().st_mtime_ns

    TfdsSource('tiny_pets')

    assert record.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    'name', ['cats_vs_dgs', 'Cats And Dogs', 'tiny_pets/other', 'tiny_pets:9.9.9']
)
def test_unknown_data_set_is_an_error(name):
    with pytest.raises(DataError, match=f"^TensorFlow Datasets has no data set '{name}'$"):
        TfdsSource(name)


@pytest.mark.parametrize('name', ['imdb_reviews', 'coco', 'div2k'])
def test_rejects_data_set_without_image_classes_before_download(name, no_network):
    with pytest.raises(DataError, match=f"^data set '{name}' has no images with named classes"):
        TfdsSource(name)
    assert not no_network


def test_fails_fast_without_network(no_network):
    message = r"^TensorFlow Datasets cannot download 'cats_vs_dogs' \(ConnectionError\); .* --data"
    with pytest.raises(DataError, match=message):
        TfdsSource('cats_vs_dogs')

    assert len(no_network) == len(set(no_network)) <= 2  # one request per server


def jpeg(red: int, image_format: str = 'JPEG') -> bytes:
    file = io.BytesIO()
    PIL.Image.new('RGB', (24, 16), (red, 0, 0)).save(file, image_format)
    return file.getvalue()


def write_download(data_directory, write_archive):
    """Writes an archive as if TensorFlow Datasets had downloaded cats_vs_dogs."""
    url = cats_vs_dogs._URL
    expected = cats_vs_dogs.CatsVsDogs.url_infos[url]
    path = data_directory / 'downloads/cats_vs_dogs' / resource.get_dl_fname(url, expected.checksum)
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, 'w') as archive:
        write_archive(archive)
    resource.write_info_file(url, tfds.core.Path(path), 'cats_vs_dogs', expected.filename, expected)


def test_reads_cats_vs_dogs_with_its_real_builder(data_directory, no_network):
    def write(archive):
        archive.writestr('PetImages/Cat/Thumbs.db', b'')
        archive.writestr('readme[1].txt', b'')
        for n in range(4):
            archive.writestr(f'PetImages/Cat/{n}.jpg', jpeg(60 * n))
            archive.writestr(f'PetImages/Dog/{n}.jpg', jpeg(60 * n + 30))
        # The builder asserts this number of images without "JFIF", as in the real archive.
        for n in range(cats_vs_dogs._NUM_CORRUPT_IMAGES):
            archive.writestr(f'PetImages/Dog/{100 + n}.jpg', b'BM not JPEG')

    write_download(data_directory, write)

    source = make_source(DataConfig(source='tfds', dataset='cats_vs_dogs'))

    assert source.classes == ('cat', 'dog')
    assert source.count == 8
    assert source.fingerprint == 'cats_vs_dogs/4.0.1'
    images = {each.filename: each for each in every_image(source)}
    assert sorted(images) == [
        f'PetImages/{name}/{n}.jpg' for name in ('Cat', 'Dog') for n in range(4)
    ]
    for n in range(4):
        cat, dog = images[f'PetImages/Cat/{n}.jpg'], images[f'PetImages/Dog/{n}.jpg']
        assert (cat.label, dog.label) == (0, 1)
        # The builder re-encodes the images with TensorFlow.
        recoded = tf.io.encode_jpeg(tf.io.decode_image(jpeg(60 * n)))
        assert cat.contents == recoded.numpy()
        assert dog.contents == tf.io.encode_jpeg(tf.io.decode_image(jpeg(60 * n + 30))).numpy()
