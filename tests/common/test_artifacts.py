"""Artifacts in object storage: complete or missing, and with the uploaded contents."""

import shutil

import pytest

from common.artifacts import artifacts_in, content_of, download, folder_of, upload
from common.errors import StorageError
from common.mirror import local_path

FILES = {'run.json': b'{}', 'span-1/a': b'first', 'span-2/Split-train/b': b''}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('CATDOG_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture
def output(bucket):
    """The URI of an output of a component, in each kind of bucket."""
    return f'{bucket.url}/pets/artifacts/Trainer/model'


def write(uri, files=FILES):
    for name, contents in files.items():
        path = folder_of(uri) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)


def files_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


@pytest.fixture
def uploaded(output, cache):
    """The URI of an artifact that is in the bucket only."""
    write(f'{output}/7')
    upload(f'{output}/7')
    shutil.rmtree(cache)
    return f'{output}/7'


def test_artifact_is_downloaded_as_it_was_uploaded(uploaded):
    assert download(uploaded) == 7
    assert files_in(folder_of(uploaded)) == FILES
    assert download(uploaded) == 0


def test_local_file_with_other_contents_is_replaced(uploaded):
    write(uploaded, {'span-1/a': b'f1rst'})
    content_of(uploaded)
    assert files_in(folder_of(uploaded)) == FILES


def test_part_of_an_artifact_is_downloaded_alone(uploaded):
    assert files_in(content_of(f'{uploaded}/span-1')) == {'a': b'first'}
    assert files_in(folder_of(uploaded)) == {'span-1/a': b'first'}


def test_artifact_without_files_has_a_folder(output, cache):
    folder_of(f'{output}/7').mkdir(parents=True)
    upload(f'{output}/7')
    shutil.rmtree(cache)
    assert files_in(content_of(f'{output}/7')) == {}
    assert folder_of(f'{output}/7').is_dir()


def test_upload_that_was_killed_leaves_no_artifact(cache, s3_bucket):
    output = f'{s3_bucket.url}/pets/artifacts/Trainer/model'
    write(f'{output}/7')
    s3_bucket.server.refuse = lambda method, path: method == 'PUT' and path.endswith('.files.json')
    with pytest.raises(StorageError, match='is denied'):
        upload(f'{output}/7')
    shutil.rmtree(cache)

    assert artifacts_in(local_path(output)) == []
    assert not content_of(f'{output}/7').exists()
    with pytest.raises(FileNotFoundError):
        download(f'{output}/7')


def test_second_upload_replaces_what_a_killed_one_has_left(output, cache, bucket):
    bucket.put('pets/artifacts/Trainer/model/7/old', b'of a killed attempt')
    write(f'{output}/7')
    upload(f'{output}/7')
    shutil.rmtree(cache)
    assert files_in(content_of(f'{output}/7')) == FILES
    assert artifacts_in(local_path(output)) == [local_path(output) / '7']


@pytest.mark.parametrize(
    ('name', 'contents', 'message'),
    [
        ('7/span-1/a', b'f1rst', 'differs from what was uploaded'),
        ('7.files.json', b'{"a": 1}', 'is damaged'),
    ],
)
def test_changed_contents_are_an_error(uploaded, bucket, name, contents, message):
    bucket.put(f'pets/artifacts/Trainer/model/{name}', contents)
    for _ in range(2):  # the download was not kept
        with pytest.raises(StorageError, match=message):
            download(uploaded)


def test_local_artifacts_are_not_copied(tmp_path):
    (tmp_path / 'model' / '7').mkdir(parents=True)
    (tmp_path / 'model' / 'cache').mkdir()
    assert content_of(str(tmp_path / 'model' / '7')) == tmp_path / 'model' / '7'
    assert artifacts_in(tmp_path / 'model') == [tmp_path / 'model' / '7']
