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
PETS = ('cats/1.jpg', 'cats/2.jpg', 'dogs/1.jpg')


def source_of(url, **keys):
    return make_source(DataConfig(source='folder', url=url, **keys))


def put(bucket, names, prefix=''):
    for name in names:
        bucket.put(prefix + name, name)


def test_reads_the_same_images_as_a_local_folder(bucket, make_files):
    folder = make_files({name: name for name in NAMES})
    put(bucket, NAMES, 'pets/')

    local = make_source(DataConfig(source='folder', path=folder))
    remote = source_of(f'{bucket.url}/pets')
    assert (remote.count, remote.counts, remote.notes) == (local.count, local.counts, local.notes)
    assert list(every_image(remote)) == list(every_image(local))


def test_fingerprint_changes_with_contents_and_names(bucket):
    found = []
    for names, contents in ((PETS, 'old'), ((), ''), (PETS[:1], 'new'), (['dogs/2.jpg'], 'new')):
        for name in names:
            bucket.put(f'pets/{name}', contents)
        found.append(source_of(f'{bucket.url}/pets').fingerprint)

    assert found[0] == found[1]
    assert len({*found}) == 3


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
    put(bucket, PETS)
    source = source_of(bucket.url)
    bucket.remove('cats/1.jpg')

    removed, *others = every_image(source)
    assert isinstance(removed, BadImage)
    assert (removed.filename, removed.reason) == ('cats/1.jpg', 'unreadable')
    assert [each.contents for each in others] == [b'cats/2.jpg', b'dogs/1.jpg']


def test_reads_a_bounded_number_of_bytes_at_a_time(s3_bucket, monkeypatch):
    names = [f'{name}/{number}.jpg' for number in range(7) for name in ('cats', 'dogs')]
    put(s3_bucket, names)
    monkeypatch.setattr(listing, '_BATCH_BYTES', 3 * len(names[0]))
    images = every_image(source_of(s3_bucket.url))
    found = [next(images)]
    s3_bucket.server.requests.clear()

    found += [next(images), next(images)]
    assert not s3_bucket.server.requests  # all of the first batch
    found.append(next(images))
    assert len(s3_bucket.server.requests) == 3
    assert {each.contents.decode() for each in [*found, *images]} == {*names}


@pytest.mark.parametrize(
    ('place', 'error', 'message'),
    [
        ('pets.zip', DataError, r'pets.zip is an object; only folders of images are read'),
        ('one', DataError, r'data folder .*/one has 1 class .cats.; expected two'),
        ('typo', StorageError, '/typo does not exist'),
    ],
)
def test_unusable_prefix_is_an_error(bucket, place, error, message):
    put(bucket, ['pets.zip', 'one/cats/1.jpg'])
    with pytest.raises(error, match=message):
        open_window(DataConfig(source='folder', url=f'{bucket.url}/{place}'))


@pytest.mark.parametrize('prefix', ['', '/', '/deliveries', '/deliveries/'])
def test_window_has_the_newest_spans(s3_bucket, prefix):
    for number in (1, 2, 10):
        for name in ('cats', 'dogs')[: number + 1]:
            s3_bucket.put(f'{prefix.strip("/")}/span-{number}/{name}/{number}.jpg'.lstrip('/'))
    config = DataConfig(source='folder', url=f'{s3_bucket.url}{prefix}', window=2)

    newest = open_window(config)
    assert [(span.number, span.source.count) for span in newest] == [(2, 2), (10, 2)]
    assert [span.number for span in open_older_spans(config, newest)] == [1]


@pytest.mark.parametrize('status', ['403 Forbidden', '501 Not Implemented'])
def test_images_are_no_worse_for_a_service_that_fails(s3_bucket, status):
    """Such images are not quarantined: the run ends, and can be started again."""
    put(s3_bucket, PETS)
    source = source_of(s3_bucket.url)
    s3_bucket.server.status = status
    s3_bucket.server.refuse = lambda method, path: path.endswith('.jpg')

    with pytest.raises(StorageError, match=r's3://.* (is denied|cannot be reached)') as caught:
        list(every_image(source))
    assert caught.value.retryable == (status[0] == '5')
