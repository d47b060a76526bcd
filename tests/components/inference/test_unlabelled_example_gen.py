import pytest
import tensorflow as tf
from image_bytes import jpeg

from common import features
from common.errors import DataError
from components.image_example_gen.ingestion.quarantine import read_quarantined
from components.image_example_gen.ingestion.tally import Tally
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.sources.base.source_protocol import IMAGES_PER_SHARD
from components.inference.image_folder import fingerprint_of, require_images
from components.inference.unlabelled_example_gen import UnlabelledExampleGen, write_records


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'images' / 'holiday').mkdir(parents=True)
    (tmp_path / 'images' / 'holiday' / 'a.jpg').write_bytes(jpeg())
    return tmp_path / 'images'


def records(directory):
    return [
        tf.train.Example.FromString(record).features.feature
        for file in sorted(directory.iterdir())
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    ]


def written(folder, tmp_path, **checks):
    targets = tmp_path / 'records', tmp_path / 'quarantine'
    return write_records(folder, CheckConfig.model_validate(checks), *targets), records(targets[0])


def test_record_has_image_and_path_without_label(folder, tmp_path):
    tally, (record,) = written(folder, tmp_path)

    assert tally == Tally(1)
    assert record[features.IMAGE_BYTES].bytes_list.value[0] == jpeg()
    assert record[features.FILENAME].bytes_list.value[0] == b'holiday/a.jpg'
    assert features.LABEL not in record


def test_quarantines_too_large_file_unread(folder, tmp_path):
    tally, found = written(folder, tmp_path, max_megabytes=0.0001)

    assert (tally, found) == (Tally(1, {'too large': 1}), [])
    (line,) = read_quarantined(tmp_path / 'quarantine')
    assert (line['source'], line['bytes']) == ('holiday/a.jpg', 0)


def test_ignores_broken_symlink(folder, tmp_path):
    (folder / 'gone.jpg').symlink_to('nowhere')
    assert written(folder, tmp_path)[0] == Tally(1)


def test_writes_several_shards(folder, tmp_path):
    for number in range(IMAGES_PER_SHARD):
        (folder / f'{number}.jpg').hardlink_to(folder / 'holiday' / 'a.jpg')

    tally, _ = written(folder, tmp_path)

    assert tally.used == IMAGES_PER_SHARD + 1
    assert len(list((tmp_path / 'records').iterdir())) == 2


def test_fingerprint_changes_only_with_images(folder):
    before = fingerprint_of(folder)
    (folder / 'notes.txt').touch()
    assert fingerprint_of(folder) == before
    (folder / 'b.jpg').write_bytes(jpeg())
    assert fingerprint_of(folder) != before


def test_rejects_folder_without_images(folder):
    require_images(folder)
    (folder / 'holiday' / 'a.jpg').unlink()
    with pytest.raises(DataError, match=r'^inference\.path: .* has no images$'):
        require_images(folder)


def test_rejects_missing_folder_and_file(folder):
    with pytest.raises(DataError, match='does not exist; give a folder with images'):
        require_images(folder / 'nowhere')
    with pytest.raises(DataError, match='is a file; give a folder with images'):
        require_images(folder / 'holiday' / 'a.jpg')


def test_fails_without_usable_images(folder, tmp_path):
    from tfx.types import standard_artifacts

    from components.image_example_gen.ingestion.quarantine import Quarantine

    (folder / 'holiday' / 'a.jpg').write_bytes(b'')
    examples, quarantine = standard_artifacts.Examples(), Quarantine()
    examples.uri, quarantine.uri = str(tmp_path / 'examples'), str(tmp_path / 'quarantine')
    executor = UnlabelledExampleGen.EXECUTOR_SPEC.executor_class()

    with pytest.raises(DataError, match=r'none of the 1 images in .* can be used: 1 empty'):
        executor.Do(
            {},
            {'examples': [examples], 'quarantine': [quarantine]},
            {'path': str(folder), 'checks': '{}'},
        )
