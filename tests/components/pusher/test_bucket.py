"""Uploads of versions to object storage: atomic, with retention, rolled back like folders."""

import dataclasses
import hashlib
import json

import pytest

from common.errors import PushError
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
        self.destination = ServingBucket(f'{bucket.url}/{PREFIX}', 'pets', keep=2)

    def model(self, name):
        folder = self.folder / name
        for each in FILES:
            (folder / each).parent.mkdir(parents=True, exist_ok=True)
            (folder / each).write_text(f'{each} of {name}')
        return folder

    def push(self, name, bucket=True):
        return push(
            self.model(name),
            self.serving,
            keep=2,
            about=About(recipe='pets'),
            bucket=self.destination if bucket else None,
        )

    @property
    def live(self):
        return int(versions_in(self.serving)[-1].name)

    @property
    def objects(self):
        """Names below the prefix, without those of versions that are not complete."""
        return {name.removeprefix(f'{PREFIX}/') for name in self.bucket.objects}

    def assert_serves(self, name):
        """The bucket has the live version, with the files of a model, and nothing unfinished."""
        number = self.destination.served_version()
        assert number == self.live
        for each in FILES:
            contents = self.bucket.read(f'{PREFIX}/{number}/{each}').decode()
            assert contents == f'{each} of {name}'
        complete = {
            f'{folder.name}/{each}' for folder in versions_in(self.serving) for each in FILES
        }
        notes = {f'{folder.name}/{NOTE_FILE}' for folder in versions_in(self.serving)}
        assert self.objects == complete | notes | {'serving.config'}


@pytest.fixture
def pets(tmp_path, bucket):
    return Pets(tmp_path, bucket)


@pytest.fixture
def s3_pets(tmp_path, s3_bucket):
    return Pets(tmp_path, s3_bucket)


def test_version_is_uploaded_and_named(pets):
    pushed = pets.push('first')

    pets.assert_serves('first')
    note = json.loads(pets.bucket.read(f'{PREFIX}/{pushed.folder.name}/{NOTE_FILE}'))
    assert (note['version'], note['about']['recipe']) == (int(pushed.folder.name), 'pets')


def test_versions_of_another_recipe_are_not_replaced(pets):
    pets.push('first')
    pets.destination = dataclasses.replace(pets.destination, model='birds')
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
        f'{s3_pets.bucket.url}/{PREFIX}',
        'tensorflow',
    )
    assert list(config.model_version_policy.specific.versions) == [int(pushed.folder.name)]


def test_old_versions_are_removed_and_other_objects_kept(pets):
    pets.bucket.put(f'{PREFIX}/README.txt', 'hello')
    for name in ('first', 'second', 'third'):
        pets.push(name)
    pets.bucket.remove(f'{PREFIX}/README.txt')

    pets.assert_serves('third')
    assert len(versions_in(pets.serving)) == 2


def test_live_model_is_not_uploaded_again(s3_pets):
    s3_pets.push('first')
    s3_pets.bucket.server.requests.clear()
    assert s3_pets.push('first').unchanged
    assert {method for method, _ in s3_pets.bucket.server.requests} == {'GET'}


def test_first_push_with_a_bucket_uploads_the_live_version(pets):
    pushed = pets.push('first', bucket=False)
    again = pets.push('first')
    assert (again.folder, again.unchanged) == (pushed.folder, True)
    pets.assert_serves('first')


def test_removed_object_is_uploaded_again(pets):
    number = pets.push('first').folder.name
    pets.bucket.remove(f'{PREFIX}/{number}/{FILES[1]}')
    pets.push('first')
    pets.assert_serves('first')


def test_graph_is_last_and_the_config_names_complete_versions(s3_pets):
    pushed = s3_pets.push('first')
    puts = [path for method, path in s3_pets.bucket.server.requests if method == 'PUT']
    root = f'/{s3_pets.bucket.name}/{PREFIX}'
    visible = [path.removeprefix(f'{root}/') for path in puts if '/.coming-' not in path]
    assert visible[-2:] == [f'{pushed.folder.name}/saved_model.pb', 'serving.config']
    assert len(visible) == len(FILES) + 2  # push.json and serving.config


@pytest.mark.parametrize('failing', [1, 4, 5, 8, 9])
def test_interrupted_upload_leaves_the_served_version_and_is_made_up_for(s3_pets, failing):
    """Access is denied from the first upload on, the last; the first copy, the last; the config."""
    s3_pets.push('first')
    first, before = s3_pets.live, s3_pets.objects
    count = iter(range(1, 1000))
    s3_pets.bucket.server.refuse = lambda method, path: method == 'PUT' and next(count) >= failing

    with pytest.raises(PushError, match=r'cannot push: access to s3://.* is denied'):
        s3_pets.push('second')

    s3_pets.bucket.server.refuse = lambda method, path: False
    assert (s3_pets.destination.served_version(), s3_pets.live) == (first, first)
    assert before <= s3_pets.objects
    s3_pets.push('second')
    s3_pets.assert_serves('second')


def test_number_of_requests_of_the_test_above(s3_pets):
    s3_pets.push('first')
    puts = [path for method, path in s3_pets.bucket.server.requests if method == 'PUT']
    assert len(puts) == 9  # four files twice, and serving.config


def test_versions_that_cannot_be_removed_are_an_error_after_the_push(s3_pets):
    s3_pets.push('first')
    s3_pets.bucket.server.refuse = lambda method, path: method == 'POST'  # of deletions
    with pytest.raises(
        PushError, match=r'old versions cannot be removed: access to s3://.* denied'
    ):
        s3_pets.push('second')
    assert s3_pets.destination.served_version() == s3_pets.live

    s3_pets.bucket.server.refuse = lambda method, path: False
    assert s3_pets.push('second').unchanged
    s3_pets.assert_serves('second')


def test_damaged_upload_is_not_served(s3_pets, monkeypatch):
    s3_pets.push('first')
    first = s3_pets.live
    digest = hashlib.sha256().hexdigest()
    monkeypatch.setattr('components.pusher.bucket._digest', lambda *_: digest)
    with pytest.raises(PushError, match=r'of version [0-9]+ differs in s3://'):
        s3_pets.push('second')
    assert (s3_pets.destination.served_version(), s3_pets.live) == (first, first)


def test_missing_bucket_leaves_the_live_version(pets):
    pets.push('first', bucket=False)
    live = pets.live
    pets.destination = ServingBucket(f'{pets.bucket.url}-typo', 'pets', keep=2)
    with pytest.raises(PushError, match=r'cannot push: .*-typo does not exist'):
        pets.push('second')
    assert pets.live == live


def test_numbers_are_above_those_in_the_bucket(pets):
    pets.bucket.put(f'{PREFIX}/5000000000/saved_model.pb', 'of a lost serving directory')
    assert pets.push('first').folder.name == '5000000001'


def test_config_that_cannot_be_read_names_no_version(pets):
    pets.bucket.put(f'{PREFIX}/serving.config', 'model_config_list {}')
    assert pets.destination.served_version() is None
    pets.push('first')
    assert pets.destination.served_version() == pets.live
