"""Uploads of versions to object storage: complete, with retention, rolled back like folders."""

import json

import pytest

from common.errors import PushError, StorageError
from components.pusher import bucket as bucket_module
from components.pusher.bucket import ServingBucket
from components.pusher.serving_folder import NOTE_FILE, About, versions_in
from components.pusher.versions import push

FILES = ('saved_model.pb', 'variables/variables.index', 'variables/variables.data-00000-of-00001')
PREFIX = 'models/pets'


class Pets:
    """Models, a serving directory and a bucket; a model is made by its name."""

    def __init__(self, folder, bucket):
        self.folder, self.bucket = folder, bucket
        self.serving = folder / 'serving'
        self.destination = ServingBucket(f'{bucket.url}/{PREFIX}', 'pets')

    def push(self, name, *, keep=2, **values):
        model = self.folder / name
        for each in FILES:
            (model / each).parent.mkdir(parents=True, exist_ok=True)
            (model / each).write_text(f'{each} of {name}')
        values = {'about': About(recipe='pets'), 'bucket': self.destination, **values}
        return push(model, values.pop('serving', self.serving), keep=keep, **values)

    @property
    def live(self):
        return int(versions_in(self.serving)[-1].name)

    @property
    def objects(self):
        return {name.removeprefix(f'{PREFIX}/') for name in self.bucket.objects}

    def assert_serves(self, name):
        """The bucket has the versions of the folder, with the files of the live one."""
        number = self.destination.served_version()
        assert number == self.live
        for each in FILES:
            contents = self.bucket.read(f'{PREFIX}/{number}/{each}').decode()
            assert contents == f'{each} of {name}'
        numbers = [folder.name for folder in versions_in(self.serving)]
        complete = {f'{number}/{each}' for number in numbers for each in (*FILES, NOTE_FILE)}
        assert self.objects == complete | {'serving.config'}


@pytest.fixture
def pets(tmp_path, bucket):
    return Pets(tmp_path, bucket)


@pytest.fixture
def s3_pets(tmp_path, s3_bucket):
    return Pets(tmp_path, s3_bucket)


def test_versions_are_uploaded_and_old_ones_removed(pets):
    pets.bucket.put(f'{PREFIX}/README.txt', 'hello')
    for name in ('first', 'second', 'third'):
        pushed = pets.push(name)
    pets.bucket.remove(f'{PREFIX}/README.txt')

    pets.assert_serves('third')
    assert len(versions_in(pets.serving)) == 2
    note = json.loads(pets.bucket.read(f'{PREFIX}/{pushed.folder.name}/{NOTE_FILE}'))
    assert (note['version'], note['about']['recipe']) == (int(pushed.folder.name), 'pets')


def test_reference_of_the_live_version_stays_in_the_bucket(pets):
    first = int(pets.push('first').folder.name)
    about = About(recipe='pets', reference=first)
    second, third, fourth = (
        int(pets.push(name, about=about).folder.name) for name in ('second', 'third', 'fourth')
    )
    assert pets.destination.numbers() == [first, third, fourth] != [first, second, fourth]
    pets.assert_serves('fourth')


def test_versions_of_another_recipe_are_not_replaced(pets):
    pets.push('first')
    pets.destination = ServingBucket(pets.destination.url, 'birds')
    before = pets.objects

    with pytest.raises(PushError, match='are of the recipe pets, not of birds; set another push'):
        pets.push('second')

    assert pets.objects == before


def test_model_server_reads_the_config(s3_pets):
    from google.protobuf import text_format
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    pushed = s3_pets.push('first')
    text = s3_pets.bucket.read(f'{PREFIX}/serving.config').decode()
    (config,) = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    assert (config.name, config.base_path, config.model_platform) == (
        'pets',
        s3_pets.destination.url,
        'tensorflow',
    )
    assert list(config.model_version_policy.specific.versions) == [int(pushed.folder.name)]


def test_live_model_is_not_uploaded_again(s3_pets):
    s3_pets.push('first')
    s3_pets.bucket.server.requests.clear()
    assert s3_pets.push('first').unchanged
    assert {method for method, _ in s3_pets.bucket.server.requests} == {'GET'}


@pytest.mark.parametrize('missing', ['bucket', 'object'])
def test_live_model_that_the_bucket_lacks_is_pushed_again(pets, missing):
    first = pets.push('first', bucket=None if missing == 'bucket' else pets.destination)
    if missing == 'object':
        pets.bucket.remove(f'{PREFIX}/{first.folder.name}/{FILES[1]}')
    assert not pets.push('first', keep=1).unchanged
    pets.assert_serves('first')


WRITES = 5  # graph, two other files, note, serving.config


def test_graph_takes_the_number_and_note_and_config_are_last(s3_pets):
    number = s3_pets.push('first').folder.name
    root = f'/{s3_pets.bucket.name}/{PREFIX}/'
    puts = [path for method, path in s3_pets.bucket.server.requests if method == 'PUT']
    written = [path.removeprefix(root) for path in puts]
    assert len(written) == WRITES
    assert written[0] == f'{number}/saved_model.pb'
    assert written[-2:] == [f'{number}/{NOTE_FILE}', 'serving.config']


@pytest.mark.parametrize('failing', range(1, WRITES + 1))
@pytest.mark.parametrize('killed', [False, True])
def test_interrupted_upload_leaves_the_served_version_and_is_made_up_for(
    s3_pets, monkeypatch, failing, killed
):
    """Access is denied from a write on; a killed push cannot remove what it wrote."""
    s3_pets.push('first')
    first, before = s3_pets.live, s3_pets.objects
    writes = iter(range(1, 1000))

    def refuse(method, path):
        return (method == 'PUT' and next(writes) >= failing) or (method == 'POST' and killed)

    s3_pets.bucket.server.refuse = refuse
    with pytest.raises(PushError, match=r'cannot push: access to s3://.* is denied'):
        s3_pets.push('second')

    s3_pets.bucket.server.refuse = lambda method, path: False
    assert (s3_pets.destination.served_version(), s3_pets.live) == (first, first)
    left = s3_pets.objects - before
    assert bool(left) == (killed and failing > 1)
    s3_pets.push('second')
    assert s3_pets.destination.served_version() == s3_pets.live
    now = bucket_module.time.time() + 8 * 86_400
    monkeypatch.setattr(bucket_module.time, 'time', lambda: now)
    s3_pets.push('second', keep=1)
    s3_pets.assert_serves('second')


@pytest.fixture
def other_host(s3_pets, tmp_path, monkeypatch):
    """`other_host('push.json')`: another host pushes before the next write of such a file."""
    write = bucket_module.Bucket.write

    def start(*files):
        waiting = {*files}

        def write_late(storage, name, contents):
            file = name.rpartition('/')[2]
            if file in waiting:
                waiting.remove(file)
                with monkeypatch.context() as patch:
                    patch.setattr(bucket_module.Bucket, 'write', write)
                    s3_pets.push(f'before {name}', keep=1, serving=tmp_path / 'other')
            write(storage, name, contents)

        monkeypatch.setattr(bucket_module.Bucket, 'write', write_late)

    return start


def test_upload_of_another_host_is_not_removed(s3_pets, other_host):
    other_host('variables.index', 'push.json')
    first = s3_pets.push('first').folder.name
    assert {f'{first}/{name}' for name in (*FILES, NOTE_FILE)} <= s3_pets.objects
    newer = s3_pets.destination.served_version()
    assert newer > s3_pets.live

    with pytest.raises(PushError, match=f'serves version {newer} of another host'):
        s3_pets.push('first')
    assert s3_pets.destination.served_version() == newer
    assert not s3_pets.push('first', replace_newer=True).unchanged
    assert s3_pets.destination.served_version() == s3_pets.live


def test_newest_version_is_served_after_two_pushes_at_once(s3_pets, other_host):
    other_host('serving.config')
    s3_pets.push('first')
    numbers = [int(name.partition('/')[0]) for name in s3_pets.objects if name.endswith('json')]
    assert s3_pets.destination.served_version() == max(numbers) > s3_pets.live


def test_number_that_another_host_took_is_an_error(s3_pets, monkeypatch):
    number = s3_pets.push('first').folder.name
    before = s3_pets.objects
    monkeypatch.setattr(ServingBucket, 'numbers', lambda _: [int(number) - 1])
    monkeypatch.setattr('components.pusher.versions.time.time', lambda: float(number))
    with pytest.raises(PushError, match=f'another push writes s3://.*/{number}; push again'):
        s3_pets.push('second', serving=s3_pets.folder / 'other')
    assert s3_pets.objects == before


def test_failed_upload_removes_only_a_number_that_it_took(s3_pets, monkeypatch):
    number = s3_pets.push('first').folder.name
    before = s3_pets.objects
    monkeypatch.setattr(ServingBucket, 'numbers', lambda _: [int(number) - 1])
    monkeypatch.setattr('components.pusher.versions.time.time', lambda: float(number))
    monkeypatch.setattr(ServingBucket, 'served_version', lambda _: None)
    s3_pets.bucket.server.refuse = lambda method, path: method == 'PUT'
    with pytest.raises(PushError, match='is denied'):
        s3_pets.push('second', serving=s3_pets.folder / 'other')
    assert s3_pets.objects == before


@pytest.mark.parametrize('earlier', [0, 1])
def test_failed_rename_after_the_upload_withdraws_the_version(s3_pets, monkeypatch, earlier):
    def refuse(*_):
        raise OSError(28, 'No space left on device')

    live = int(s3_pets.push('first').folder.name) if earlier else None
    before = s3_pets.objects
    with monkeypatch.context() as patch:
        patch.setattr('pathlib.Path.rename', refuse)
        with pytest.raises(PushError, match='No space left on device'):
            s3_pets.push('second')
    assert s3_pets.objects == before
    assert s3_pets.destination.served_version() == live


def test_failed_upload_that_another_host_serves_is_no_longer_served(s3_pets, monkeypatch):
    live = int(s3_pets.push('first').folder.name)
    serve_newest = ServingBucket._serve_newest

    def serve_and_fail(destination):
        serve_newest(destination)
        monkeypatch.setattr(ServingBucket, '_serve_newest', serve_newest)
        raise StorageError('no answer')

    monkeypatch.setattr(ServingBucket, '_serve_newest', serve_and_fail)
    with pytest.raises(PushError, match='no answer'):
        s3_pets.push('second')
    assert s3_pets.destination.served_version() == live
    s3_pets.assert_serves('first')


def test_copied_versions_without_a_note_are_not_removed(pets):
    pets.bucket.put(f'{PREFIX}/1/saved_model.pb', 'copied there')
    pets.bucket.put(f'{PREFIX}/1000000000/saved_model.pb', 'of a killed push')
    pets.push('first')
    assert '1/saved_model.pb' in pets.objects
    assert '1000000000/saved_model.pb' not in pets.objects


def test_versions_that_cannot_be_removed_are_a_warning(s3_pets, caplog):
    for name in ('first', 'second'):
        s3_pets.push(name)
    s3_pets.bucket.server.refuse = lambda method, path: method == 'POST'  # of deletions
    s3_pets.push('third')
    assert 'old versions cannot be removed: access to s3://' in caplog.text
    assert s3_pets.destination.served_version() == s3_pets.live

    s3_pets.bucket.server.refuse = lambda method, path: False
    assert s3_pets.push('third').unchanged
    s3_pets.assert_serves('third')


def test_damaged_upload_is_not_served(s3_pets, monkeypatch):
    s3_pets.push('first')
    first = s3_pets.live
    read = bucket_module.Bucket.read
    monkeypatch.setattr(
        bucket_module.Bucket,
        'read',
        lambda storage, name: b'' if name.endswith('index') else read(storage, name),
    )
    with pytest.raises(PushError, match=r'the copy of variables/variables.index differs'):
        s3_pets.push('second')
    assert (s3_pets.destination.served_version(), s3_pets.live) == (first, first)


def test_missing_bucket_leaves_the_live_version(pets):
    pets.push('first', bucket=None)
    live = pets.live
    pets.destination = ServingBucket(f'{pets.bucket.url}-typo', 'pets')
    with pytest.raises(PushError, match=r'cannot push: .*-typo does not exist'):
        pets.push('second')
    assert pets.live == live


@pytest.mark.parametrize('name', ['5000000000/saved_model.pb', f'5000000000/{NOTE_FILE}'])
def test_numbers_are_above_those_in_the_bucket(pets, name):
    pets.bucket.put(f'{PREFIX}/{name}', 'of a lost serving directory')
    assert pets.push('first').folder.name == '5000000001'
    assert pets.destination.served_version() == pets.live


def test_config_that_cannot_be_read_names_no_version(pets):
    pets.bucket.put(f'{PREFIX}/serving.config', 'model_config_list {}')
    assert pets.destination.served_version() is None
    pets.push('first')
    pets.assert_serves('first')
