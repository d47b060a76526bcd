"""Files in a folder and in a bucket, by one interface."""

import resource

import bucket_servers
import pytest

from common.errors import StorageError
from common.mirror import local_path
from common.storage import Bucket, Folder, fetch, storage_of


@pytest.fixture(params=['folder', 's3', 'gs'])
def storage(request, tmp_path):
    if request.param == 'folder':
        return Folder(tmp_path / 'files')
    request.getfixturevalue(f'{request.param}_server')
    return Bucket(f'{bucket_servers.Bucket(request.param).url}/files')


def test_files_are_listed_read_and_replaced(storage):
    assert storage.names() == []
    for name, contents in {'runs/7.json': b'before', 'note': b'', 'runs/8/a': b'8'}.items():
        storage.write(name, contents)
    storage.write('runs/7.json', b'after')

    assert storage.names() == ['note', 'runs/7.json', 'runs/8/a']
    assert storage.names('runs') == ['runs/7.json', 'runs/8/a']
    assert storage.names('run') == []
    assert storage.read('runs/7.json') == b'after'
    with pytest.raises((FileNotFoundError, StorageError)):
        storage.read('none')


@pytest.mark.parametrize('storage', ['folder', 's3'], indirect=True)
def test_created_file_is_not_replaced(storage):
    storage.write('runs/7.json', b'first', create=True)
    with pytest.raises(FileExistsError):
        storage.write('runs/7.json', b'second', create=True)
    assert [storage.read(name) for name in storage.names()] == [b'first']


def test_unfinished_file_is_left_out(tmp_path):
    Folder(tmp_path).write('runs/7.json', b'')
    (tmp_path / 'runs' / '.8.json.1f.partial').write_bytes(b'')
    assert Folder(tmp_path).names() == ['runs/7.json']


@pytest.mark.parametrize('create', [False, True])
def test_write_to_a_full_disk_leaves_nothing(tmp_path, create):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match='File too large') as error:
            Folder(tmp_path).write('runs/7.json', bytes(2000), create=create)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.filename == str(tmp_path / 'runs' / '7.json')
    assert Folder(tmp_path).names() == []


def test_removed_folder_of_a_bucket_has_no_objects(s3_bucket):
    storage = Bucket(s3_bucket.url)
    for name in ('7/a', '7/b/c', '70/a'):
        storage.write(name, b'')
    storage.remove('7')
    assert storage.names() == ['70/a']


@pytest.mark.parametrize('storage', ['s3', 'gs'], indirect=True)
def test_files_are_uploaded_and_downloaded_several_at_a_time(storage, tmp_path):
    assert storage.folders() == []
    storage.upload({})
    files = {f'runs/{number}/a b': tmp_path / str(number) for number in range(40)}
    for number, path in enumerate(files.values()):
        path.write_bytes(bytes(number))
    storage.upload(files)
    storage.write('note', b'')

    assert storage.sizes() == {'note': 0} | {name: i for i, name in enumerate(files)}
    assert storage.folders() == ['runs']
    assert storage.folders('runs') == sorted(f'runs/{number}' for number in range(40))

    copies = {name: tmp_path / 'copies' / path.name for name, path in files.items()}
    storage.download(copies)
    assert [path.stat().st_size for path in copies.values()] == [*range(40)]
    with pytest.raises(FileNotFoundError):
        storage.download({'none': tmp_path / 'none'})


def test_fetch_downloads_what_is_missing_or_has_another_size(s3_bucket, tmp_path, monkeypatch):
    monkeypatch.setenv('CATDOG_CACHE', str(tmp_path))
    folder = local_path(f'{s3_bucket.url}/pets')
    for name in ('a.json', 'b/c.json', 'b/d', 'e.json'):
        s3_bucket.put(f'pets/{name}', f'new {name}')
    (folder / 'b').mkdir(parents=True)
    (folder / 'a.json').write_text('cut')
    (folder / 'e.json').write_text('old e.json')

    fetch(folder, '*.json')

    texts = {path.name: path.read_text() for path in folder.rglob('*') if path.is_file()}
    assert texts == {'a.json': 'new a.json', 'c.json': 'new b/c.json', 'e.json': 'old e.json'}
    fetch(folder, replace=True)
    assert (folder / 'e.json').read_text() == 'new e.json'
    assert (folder / 'b' / 'd').read_text() == 'new b/d'


@pytest.mark.parametrize('name', ['{outside}/a', '../../outside/a'])
def test_fetch_writes_nothing_outside_of_its_folder(s3_bucket, tmp_path, monkeypatch, name):
    monkeypatch.setenv('CATDOG_CACHE', str(tmp_path / 'cache'))
    outside = tmp_path / 'outside'
    s3_bucket.put(f'pets/{name.format(outside=outside)}', 'x')
    s3_bucket.put('pets/b', 'x')
    fetch(local_path(f'{s3_bucket.url}/pets'))
    assert [path.name for path in tmp_path.rglob('*') if path.is_file()] == ['b']


def test_folders_of_a_missing_bucket_are_an_error(s3_bucket):
    assert Bucket(f'{s3_bucket.url}/none').folders() == []
    with pytest.raises(StorageError, match='does not exist'):
        Bucket('s3://no-such-bucket/x').folders()


def test_storage_of_a_folder_on_a_disk_is_the_folder(tmp_path):
    assert isinstance(storage_of(tmp_path), Folder)
    fetch(tmp_path / 'none')
