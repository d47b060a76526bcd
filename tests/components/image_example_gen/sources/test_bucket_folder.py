"""Images below a prefix of a bucket, read with the real clients."""

import pytest

from common.errors import DataError, StorageError
from components.image_example_gen.sources.base import listing
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import BadImage, every_image
from components.image_example_gen.sources.spans import make_source, open_older_spans, open_window

NAMES = [
    'train/cats/1.jpg',
    'train/cats/a/b/2 [x]*?.JPG',
    'train/dogs/é #%.png',
    'validation/cats/3.jpg',
    'validation/dogs/4.jpg',
    'train/cats/notes.txt',
    'train/cats/.hidden.jpg',
    'train/.hidden/5.jpg',
    'Thumbs.db',
]


def copy_to(bucket, folder, prefix='pets'):
    for path in folder.rglob('*'):
        if path.is_file():
            bucket.put(f'{prefix}/{path.relative_to(folder).as_posix()}', path.read_bytes())


def source_of(url, **keys):
    return make_source(DataConfig(source='folder', url=url, **keys))


def window(url, size, **keys):
    return open_window(DataConfig(source='folder', url=url, window=size, **keys))


def test_reads_the_same_images_as_a_local_folder(bucket, tmp_path):
    folder = tmp_path / 'pets'
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'image {number}')
    copy_to(bucket, folder)

    local = make_source(DataConfig(source='folder', path=folder))
    remote = source_of(f'{bucket.url}/pets')

    assert (remote.count, remote.counts, remote.notes) == (local.count, local.counts, local.notes)
    assert list(every_image(remote)) == list(every_image(local))


def test_fingerprint_changes_with_contents_and_names(bucket):
    for name in ('cats/1.jpg', 'dogs/1.jpg'):
        bucket.put(f'pets/{name}', 'old')
    first = source_of(f'{bucket.url}/pets').fingerprint
    assert source_of(f'{bucket.url}/pets').fingerprint == first

    bucket.put('pets/dogs/1.jpg', 'new')  # of the same size
    second = source_of(f'{bucket.url}/pets').fingerprint
    bucket.put('pets/dogs/2.jpg', 'new')
    third = source_of(f'{bucket.url}/pets').fingerprint

    assert len({first, second, third}) == 3


def test_large_images_are_not_read(s3_bucket):
    s3_bucket.put('cats/1.jpg', 'x' * 11)
    s3_bucket.put('dogs/1.jpg', 'x' * 10)
    source = source_of(s3_bucket.url, checks={'max_megabytes': 1e-5})
    s3_bucket.server.requests.clear()

    large, small = every_image(source)

    assert (large.filename, large.reason) == ('cats/1.jpg', 'too large')
    assert small.contents == b'x' * 10
    assert s3_bucket.server.requests == [('GET', f'/{s3_bucket.name}/dogs/1.jpg')]


def test_removed_image_is_unreadable(bucket):
    for name in ('cats/1.jpg', 'cats/2.jpg', 'dogs/1.jpg'):
        bucket.put(name, name)
    source = source_of(bucket.url)
    bucket.remove('cats/1.jpg')

    removed, *others = every_image(source)

    assert isinstance(removed, BadImage)
    assert (removed.filename, removed.reason) == ('cats/1.jpg', 'unreadable')
    assert [each.contents for each in others] == [b'cats/2.jpg', b'dogs/1.jpg']


def test_reads_a_bounded_number_of_bytes_at_a_time(s3_bucket, monkeypatch):
    names = [f'{name}/{number}.jpg' for number in range(7) for name in ('cats', 'dogs')]
    for name in names:
        s3_bucket.put(name, name)
    monkeypatch.setattr(listing, '_BATCH_BYTES', 3 * len(names[0]))
    images = every_image(source_of(s3_bucket.url))
    found = [next(images)]
    s3_bucket.server.requests.clear()

    found += [next(images), next(images)]
    assert not s3_bucket.server.requests  # all of the first batch
    found.append(next(images))
    assert len(s3_bucket.server.requests) == 3
    assert {each.contents.decode() for each in [*found, *images]} == {*names}


def test_object_without_a_folder_or_a_class_is_an_error(bucket):
    bucket.put('pets.zip', 'archive')
    with pytest.raises(DataError, match=r'pets.zip is an object; only folders of images are read'):
        source_of(f'{bucket.url}/pets.zip')
    bucket.put('one/cats/1.jpg')
    with pytest.raises(DataError, match=r'data folder .*/one has 1 class .cats.; expected two'):
        source_of(f'{bucket.url}/one')


@pytest.mark.parametrize('prefix', ['', '/', '/deliveries', '/deliveries/'])
def test_window_has_the_newest_spans(s3_bucket, prefix):
    for number in (1, 2, 10):
        for name in ('cats', 'dogs')[: number + 1]:
            s3_bucket.put(f'{prefix.strip("/")}/span-{number}/{name}/{number}.jpg'.lstrip('/'))
    config = {'source': 'folder', 'url': f'{s3_bucket.url}{prefix}'}

    newest = open_window(DataConfig(**config, window=2))
    assert [(span.number, span.source.count) for span in newest] == [(2, 2), (10, 2)]
    older = open_older_spans(DataConfig(**config, window=2), newest)
    assert [span.number for span in older] == [1]


def test_missing_prefix_is_an_error_without_a_traceback(bucket):
    with pytest.raises(StorageError, match=f'{bucket.url}/typo does not exist'):
        window(f'{bucket.url}/typo', 1)


@pytest.mark.parametrize('status', ['403 Forbidden', '501 Not Implemented'])
def test_images_are_no_worse_for_a_service_that_fails(s3_bucket, status):
    """Such images are not quarantined: the run ends, and can be started again."""
    for name in ('cats/1.jpg', 'dogs/1.jpg'):
        s3_bucket.put(name)
    source = source_of(s3_bucket.url)
    s3_bucket.server.status = status
    s3_bucket.server.refuse = lambda method, path: path.endswith('.jpg')

    with pytest.raises(StorageError, match=r's3://.* (is denied|cannot be reached)') as caught:
        list(every_image(source))
    assert caught.value.retryable == (status[0] == '5')
