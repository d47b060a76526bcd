import pytest
import tensorflow as tf
from image_bytes import jpeg
from tfx.types import standard_artifacts

from common import features
from common.errors import DataError
from components.image_example_gen.ingestion.ingested import Tally
from components.image_example_gen.ingestion.quarantine import Quarantine, read_quarantined
from components.image_example_gen.inspection.check_config import CheckConfig
from components.inference import unlabelled_example_gen
from components.inference.image_folder import require_images
from components.inference.unlabelled_example_gen import UnlabelledExampleGen, write_records


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'images' / 'holiday').mkdir(parents=True)
    (tmp_path / 'images' / 'holiday' / 'a.jpg').write_bytes(jpeg())
    return tmp_path / 'images'


def written(folder, tmp_path, **checks):
    """The tally, and the records of each file."""
    targets = tmp_path / 'records', tmp_path / 'quarantine'
    tally = write_records(folder, CheckConfig.model_validate(checks), *targets)
    files = [
        [*map(tf.train.Example.FromString, tf.data.TFRecordDataset(str(file)).as_numpy_iterator())]
        for file in sorted(targets[0].iterdir())
    ]
    return tally, files


def test_quarantines_too_large_file_unread(folder, tmp_path):
    assert written(folder, tmp_path, max_megabytes=0.0001) == (Tally(1, {'too large': 1}), [[]])

    (line,) = read_quarantined(tmp_path / 'quarantine')
    assert (line['source'], line['reason']) == ('holiday/a.jpg', 'too large')


def test_quarantines_unreadable_file_and_ignores_broken_symlink(folder, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr(unlabelled_example_gen, 'read_file', fail)
    (folder / 'gone.jpg').symlink_to('nowhere')

    assert written(folder, tmp_path)[0] == Tally(1, {'unreadable': 1})


def test_writes_shards_of_records_with_image_and_path_without_label(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(unlabelled_example_gen, 'IMAGES_PER_SHARD', 2)
    for number in range(2):
        (folder / f'{number}.jpg').write_bytes(jpeg())

    tally, files = written(folder, tmp_path)

    assert (tally, [len(records) for records in files]) == (Tally(3), [2, 1])
    record = files[1][0].features.feature
    assert record[features.IMAGE_BYTES].bytes_list.value[0] == jpeg()
    assert record[features.FILENAME].bytes_list.value[0] == b'holiday/a.jpg'
    assert features.LABEL not in record


def test_rejects_missing_folder_or_folder_without_images(folder):
    require_images(folder)
    for path, problem in (('nowhere', 'does not exist'), ('holiday/a.jpg', 'is not a folder')):
        with pytest.raises(DataError, match=f'{problem}; give a folder with images'):
            require_images(folder / path)
    (folder / 'holiday' / 'a.jpg').unlink()
    with pytest.raises(DataError, match=r'^inference\.path: .* has no images$'):
        require_images(folder)


def test_fails_without_usable_images(folder, tmp_path):
    (folder / 'holiday' / 'a.jpg').write_bytes(b'')
    examples, quarantine = standard_artifacts.Examples(), Quarantine()
    examples.uri, quarantine.uri = str(tmp_path / 'examples'), str(tmp_path / 'quarantine')
    function = UnlabelledExampleGen.EXECUTOR_SPEC.executor_class._FUNCTION

    with pytest.raises(DataError, match=r'none of the 1 images in .* can be used: 1 empty'):
        function(examples, quarantine, path=str(folder), checks='{}', code='1')
