"""Uploads of versions to object storage: complete, with retention, rolled back like folders."""

import json

import pytest
from saved_model_files import FILES, write_saved_model

from common.errors import ModelError, PushError
from common.mirror import local_path, uri_of
from common.storage import Bucket
from components.pusher import bucket as bucket_module
from components.pusher.bucket import POINTER, served_version
from components.pusher.serving_folder import NOTE_FILE, About, numbers_in, versions_in
from components.pusher.versions import push

PREFIX = 'models/pets'


class Pets:
    """Models, a serving directory and a bucket; a model is made by its name."""

    def __init__(self, folder, bucket):
        self.folder, self.bucket = folder, bucket
        self.serving = folder / 'serving'
        self.destination = local_path(f'{bucket.url}/{PREFIX}')

    def push(self, name, *, keep=2, **values):
        model = write_saved_model(self.folder / name, name)
        values = {'about': About(recipe='pets'), 'bucket': self.destination, **values}
        return push(model, values.pop('serving', self.serving), keep=keep, **values)

    @property
    def live(self):
        return int(versions_in(self.serving)[-1].name)

    @property
    def served(self):
        return served_version(self.destination)

    @property
    def objects(self):
        return {name.removeprefix(f'{PREFIX}/') for name in self.bucket.objects}

    def assert_serves(self, name):
        """The bucket has the versions of the folder, with the files of the live one."""
        number = self.served
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


def test_versions_of_another_recipe_are_not_replaced(pets):
    pets.push('first')
    before = pets.objects

    with pytest.raises(ModelError, match='are of the recipe pets, not of birds; set another push'):
        pets.push('second', about=About(recipe='birds'), serving=pets.folder / 'birds')

    assert pets.objects == before


def test_model_server_reads_the_config(s3_pets):
    from google.protobuf import text_format
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    pushed = s3_pets.push('first')
    text = s3_pets.bucket.read(f'{PREFIX}/serving.config').decode()
    (config,) = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    assert (config.name, config.base_path, config.model_platform) == (
        'pets',
        uri_of(s3_pets.destination),
        'tensorflow',
    )
    assert list(config.model_version_policy.specific.versions) == [int(pushed.folder.name)]


def test_live_model_is_not_uploaded_again(s3_pets):
    s3_pets.push('first')
    s3_pets.bucket.server.requests.clear()
    assert s3_pets.push('first').unchanged
    assert {method for method, _ in s3_pets.bucket.server.requests} <= {'GET', 'HEAD'}


@pytest.mark.parametrize('missing', ['bucket', 'object'])
def test_live_model_that_the_bucket_lacks_is_pushed_again(pets, missing):
    first = pets.push('first', bucket=None if missing == 'bucket' else pets.destination)
    if missing == 'object':
        pets.bucket.remove(f'{PREFIX}/{first.folder.name}/{FILES[1]}')
    assert not pets.push('first', keep=1).unchanged
    pets.assert_serves('first')


WRITES = 5  # graph, two other files, note, serving.config


@pytest.mark.parametrize('failing', range(1, WRITES + 1))
def test_interrupted_upload_leaves_the_served_version_and_is_made_up_for(
    s3_pets, monkeypatch, failing
):
    """Access is denied from a write on."""
    s3_pets.push('first')
    first, before = s3_pets.live, s3_pets.objects
    writes = iter(range(1, 1000))

    def refuse(method, path):
        return method == 'PUT' and next(writes) >= failing

    s3_pets.bucket.server.refuse = refuse
    with pytest.raises(PushError, match=r'cannot push: access to s3://.* is denied'):
        s3_pets.push('second')

    s3_pets.bucket.server.refuse = lambda method, path: False
    assert (s3_pets.served, s3_pets.live) == (first, first)
    assert bool(s3_pets.objects - before) == (failing > 1)
    s3_pets.push('second')
    assert s3_pets.served == s3_pets.live
    now = bucket_module.time.time() + 8 * 86_400
    monkeypatch.setattr(bucket_module.time, 'time', lambda: now)
    s3_pets.push('second', keep=1)
    s3_pets.assert_serves('second')


@pytest.fixture
def other_host(s3_pets, tmp_path, monkeypatch):
    """`other_host('push.json')`: another host pushes before the next write of such a file."""
    write = Bucket.write

    def start(*files):
        waiting = {*files}

        def write_late(storage, name, contents, **keys):
            file = name.rpartition('/')[2]
            if file in waiting:
                waiting.remove(file)
                with monkeypatch.context() as patch:
                    patch.setattr(Bucket, 'write', write)
                    s3_pets.push(f'before {name}', keep=1, serving=tmp_path / 'other')
            write(storage, name, contents, **keys)

        monkeypatch.setattr(Bucket, 'write', write_late)

    return start


@pytest.mark.parametrize('file', ['variables.index', 'push.json'])
def test_push_that_another_host_overtakes_is_an_error(s3_pets, other_host, file):
    other_host(file)
    with pytest.raises(PushError, match='went live meanwhile; nothing is pushed: push again'):
        s3_pets.push('first')
    (served,) = versions_in(s3_pets.destination)
    assert s3_pets.served == int(served.name)
    assert versions_in(s3_pets.serving) == []
    s3_pets.push('first')
    assert s3_pets.served == s3_pets.live > int(served.name)


def test_newest_version_is_served_after_two_pushes_at_once(s3_pets, other_host):
    other_host('serving.config')
    s3_pets.push('first')
    assert s3_pets.served == max(numbers_in(s3_pets.destination)) > s3_pets.live
    assert not s3_pets.push('first').unchanged
    assert s3_pets.served == s3_pets.live


def test_two_first_pushes_that_overtake_each_other_are_an_error(s3_pets, other_host, monkeypatch):
    """The other one withdraws its version, too, before this one looks for the newest."""
    other_host('push.json')
    remove = Bucket.remove

    def remove_both(storage, name):
        for each in Bucket.names(storage):
            if each.endswith(NOTE_FILE):
                remove(storage, each)
        if name.endswith(POINTER):
            remove(storage, name)

    monkeypatch.setattr(Bucket, 'remove', remove_both)
    with pytest.raises(PushError, match='went live meanwhile; nothing is pushed: push again'):
        s3_pets.push('first')
    monkeypatch.setattr(Bucket, 'remove', remove)
    assert s3_pets.served is None
    s3_pets.push('first')
    assert s3_pets.served == s3_pets.live


def test_number_that_another_host_took_is_an_error(s3_pets, monkeypatch):
    number = s3_pets.push('first').folder.name
    before = s3_pets.objects
    monkeypatch.setattr('components.pusher.versions.numbers_in', lambda _: [])
    monkeypatch.setattr('components.pusher.versions.time.time', lambda: float(number))
    with pytest.raises(PushError, match=f'another push writes s3://.*/{number}; push again'):
        s3_pets.push('second', serving=s3_pets.folder / 'other')
    assert s3_pets.objects == before


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
    assert 'cannot be removed: access to s3://' in caplog.text
    assert s3_pets.served == s3_pets.live

    s3_pets.bucket.server.refuse = lambda method, path: False
    assert s3_pets.push('third').unchanged
    s3_pets.assert_serves('third')


def test_missing_bucket_leaves_the_live_version(pets):
    pets.push('first', bucket=None)
    live = pets.live
    pets.destination = local_path(f'{pets.bucket.url}-typo')
    with pytest.raises(PushError, match=r'cannot push: .*-typo does not exist'):
        pets.push('second')
    assert pets.live == live


def test_numbers_are_above_those_in_the_bucket(pets):
    pets.bucket.put(f'{PREFIX}/5000000000/saved_model.pb', 'of a lost serving directory')
    assert pets.push('first').folder.name == '5000000001'
    assert pets.served == pets.live
