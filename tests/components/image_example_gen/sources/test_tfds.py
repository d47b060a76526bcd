import socket
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import resource
from tensorflow_datasets.image_classification import cats_vs_dogs

from common.errors import DataError
from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.base.source_protocol import every_image
from components.image_example_gen.sources.factory import make_source
from components.image_example_gen.sources.tfds import TfdsSource


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
            yield (
                n,
                {
                    'image': np.full((24, 32, 3), n, np.uint8),
                    'image/filename': f'pet-{n}.png',
                    'label': n % 2,
                },
            )


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


def test_yields_encoded_images_of_all_splits():
    source = TfdsSource('tiny_pets')

    assert (source.classes, source.count) == (('cat', 'dog'), 6)
    assert source.fingerprint == 'tiny_pets/1.0.0'
    images = {image.filename: image for image in every_image(source)}
    assert sorted(images) == [f'pet-{n}.png' for n in range(6)]
    for n, (_, image) in enumerate(sorted(images.items())):
        assert image.label == n % 2
        assert (tf.io.decode_png(image.contents).numpy() == n).all()


def test_files_are_divided_into_shards(monkeypatch):
    monkeypatch.setattr('components.image_example_gen.sources.tfds.IMAGES_PER_SHARD', 10)

    parts = [list(shard.images()) for shard in TfdsSource('tiny_digits').shards()]

    assert [len(part) for part in parts] == [10] * 4
    names = [f'{split}/{number}' for split in ('test', 'train') for number in range(20)]
    assert [image.filename for part in parts for image in part] == names


def test_recipe_renames_or_selects_classes():
    assert TfdsSource('tiny_pets', ('fox', 'owl')).classes == ('fox', 'owl')

    own = TfdsSource('tiny_digits')
    assert own.classes == tuple('0123456789')
    selected = every_image(TfdsSource('tiny_digits', ('2', '7')))
    expected = [{2: 0, 7: 1}.get(image.label) for image in every_image(own)]
    assert [getattr(image, 'label', None) for image in selected] == expected


def test_damaged_records_are_an_error(data_directory):
    source = TfdsSource('tiny_pets')
    (file,) = data_directory.glob('tiny_pets/1.0.0/*test.tfrecord*')
    contents = file.read_bytes()
    file.write_bytes(contents[:-5])
    TfdsSource('tiny_pets')  # is not prepared again

    with pytest.raises(DataError, match=r'^test\[0:2\] of .*tiny_pets/1\.0\.0 cannot be read: \S'):
        list(every_image(source))
    file.write_bytes(contents)


@pytest.mark.parametrize('name', ['cats_vs_dgs', 'Cats And Dogs', 'tiny_pets:9.9.9'])
def test_unknown_data_set_is_an_error(name):
    with pytest.raises(DataError, match=f"^TensorFlow Datasets has no data set '{name}'$"):
        TfdsSource(name)


@pytest.mark.parametrize('name', ['imdb_reviews', 'coco'])
def test_rejects_data_set_without_image_classes_before_download(name, no_network):
    with pytest.raises(DataError, match=f"^data set '{name}' has no images with named classes"):
        TfdsSource(name)
    assert not no_network


def test_fails_fast_without_network(no_network):
    message = r"^TensorFlow Datasets cannot download 'beans' \(ConnectionError\); .* give --data"
    with pytest.raises(DataError, match=message):
        TfdsSource('beans')
    assert len(no_network) == 1


def jpeg(red: int) -> bytes:
    return tf.io.encode_jpeg(np.full((16, 24, 3), (red, 0, 0), np.uint8)).numpy()


def test_reads_downloaded_cats_vs_dogs_without_network(data_directory, no_network):
    """The archive is where TensorFlow Datasets would have downloaded it."""
    url, name = cats_vs_dogs._URL, 'cats_vs_dogs'
    expected = cats_vs_dogs.CatsVsDogs.url_infos[url]
    path = data_directory / 'downloads' / name / resource.get_dl_fname(url, expected.checksum)
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, 'w') as archive:
        for n in range(4):
            archive.writestr(f'PetImages/Cat/{n}.jpg', jpeg(60 * n))
            archive.writestr(f'PetImages/Dog/{n}.jpg', jpeg(60 * n + 30))
        # The builder asserts this number of images without "JFIF", as in the real archive.
        for n in range(cats_vs_dogs._NUM_CORRUPT_IMAGES):
            archive.writestr(f'PetImages/Dog/{100 + n}.jpg', b'BM not JPEG')
    resource.write_info_file(url, tfds.core.Path(path), name, expected.filename, expected)

    source = make_source(DataConfig(source='tfds', dataset=name))

    assert (source.classes, source.count) == (('cat', 'dog'), 8)
    assert source.fingerprint == 'cats_vs_dogs/4.0.1'
    assert {image.filename: image.label for image in every_image(source)} == {
        f'PetImages/{name}/{n}.jpg': label
        for label, name in enumerate(('Cat', 'Dog'))
        for n in range(4)
    }
