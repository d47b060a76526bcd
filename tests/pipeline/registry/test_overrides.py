"""Manual overrides: rollback, bless, unbless, and what the `models` command shows of them."""

import json
import re
import shutil
from pathlib import Path

import pytest
from ml_metadata.errors import InternalError

from common.blessing import OVERRIDE_FILE, read_override
from common.errors import AlreadyRunning, ModelError, PushError, VolumeNotMounted
from common.files import locked
from common.metadata_queries import custom_property
from components.pusher.serving_folder import About, read_note, versions_in
from components.pusher.versions import push
from pipeline.config.recipe import Recipe
from pipeline.registry import overrides
from pipeline.registry.leftovers import finish_pushes
from pipeline.registry.lineage import trace
from pipeline.registry.provenance import Provenance, destination_of
from pipeline.registry.recording import record_push

WHY = ('--reason', 'why')


class Pets:
    """A recipe with recorded runs and a serving folder."""

    def __init__(self, folder, recorder):
        recorder.folder = folder / 'pets' / 'artifacts' / 'Trainer' / 'model'
        self.recipe = Recipe(name='pets', workdir=folder)
        self.recorder, self.store = recorder, recorder.store
        self.serving = self.recipe.serving_directory

    def train(self, spans, blessed=True):
        """An evaluated model that is not pushed yet."""
        model = self.recorder.run(spans, blessed=blessed, pushed=False if blessed else None)
        served = Path(model.uri) / 'Format-Serving'
        served.mkdir(parents=True)
        (served / 'saved_model.pb').write_text(f'graph of {model.id}')
        return model

    def push(self, model, recorded=True, uri=None, extra_files=None):
        """Pushes a model; without recording, as a run that is killed after the push."""
        about = About(recipe='pets', model=uri or model.uri, accuracy=0.9)
        served = Path(model.uri) / 'Format-Serving'
        folder = push(served, self.serving, keep=9, about=about, extra_files=extra_files).folder
        if recorded:
            record_push(self.store, self.recipe, folder)
        return folder

    def rollback(self, version=None, reason='too many cats'):
        return overrides.rollback(self.recipe, self.store, version, reason)

    def bless(self, model, reason='they were cats'):
        return overrides.bless(self.recipe, self.store, model, reason)

    def unbless(self, version=None, reason='wrong labels'):
        return overrides.unbless(self.recipe, self.store, version, reason)

    @property
    def versions(self):
        return versions_in(self.serving)

    @property
    def live(self):
        return self.versions[-1]

    @property
    def pushed(self):
        """Folders and spans of the pushes in the metadata, lowest version first."""
        provenance = Provenance(self.store, 'pets')
        return [
            (Path(destination_of(each)), provenance.training_spans(each.input('model')))
            for each in provenance.pushed()
        ]

    def override(self, number):
        """Decision and reason of the manual override of a model, by its index."""
        found = read_override(Path(self.recorder.models[number].uri))
        return found and (found.blessed, found.person, found.reason)

    def executions(self, kind):
        """The properties of the executions of a type."""
        return [
            {key: custom_property(each, key) for key in each.custom_properties}
            for each in self.store.get_executions_by_type(f'catdog.{kind}')
        ]


def graph(version):
    return (version / 'saved_model.pb').read_text()


@pytest.fixture
def pets(tmp_path, recorder, monkeypatch):
    monkeypatch.setenv('LOGNAME', 'ada')
    return Pets(tmp_path, recorder)


@pytest.fixture
def two(pets):
    """Two pushed versions."""
    return [pets.push(pets.train(spans)) for spans in ({1: 'a'}, {1: 'a', 2: 'b'})]


@pytest.fixture
def three(pets, two):
    return [*two, pets.push(pets.train({3: 'c'}))]


@pytest.fixture
def call(pets, invoke, monkeypatch):
    """Calls a command, with the metadata of `pets`."""

    def existing_store(*_):
        return pets.store if pets.recorder.models else None

    monkeypatch.setattr('pipeline.metadata_store.existing_store', existing_store)
    return invoke


def test_rollback_makes_previous_version_live_under_new_number(pets, two):
    pushed = pets.rollback()

    assert pushed.folder == pets.live
    assert int(pushed.folder.name) > int(two[1].name)
    assert graph(pets.live) == graph(two[0])
    assert pets.pushed[-1] == (pets.live, {1: 'a'})
    assert trace(pets.store, 'pets', pets.live.name).model.run == 'run-1'
    assert (pets.override(0), pets.override(1)) == (None, (False, 'ada', 'too many cats'))
    values = {'version': int(two[0].name), 'withdrawn': pets.recorder.models[1].uri}
    expected = {'person': 'ada', 'reason': 'too many cats', **values}
    assert pets.executions('Rollback') == [expected]


def test_second_rollback_skips_withdrawn_models(pets, three):
    pets.rollback()
    pets.rollback(reason='too many dogs')
    assert graph(pets.live) == graph(three[0])
    with pytest.raises(ModelError, match=r'no version before .* holds another, still blessed'):
        pets.rollback()
    with pytest.raises(ModelError, match=f'version {three[2].name}: .* by ada: too many cats'):
        pets.rollback(three[2].name)


def test_withdrawal_is_known_to_new_metadata(pets, three):
    pets.unbless(three[1].name)
    pets.store = type(pets.recorder)().store

    pets.rollback()

    assert graph(pets.live) == graph(three[0])
    with pytest.raises(ModelError, match='by ada: wrong labels'):
        pets.rollback(three[1].name)


def test_earlier_rollback_withdraws_no_later_blessing(pets, two):
    rolled_back = pets.rollback().folder
    pets.bless(two[1].name)

    finish_pushes(pets.recipe, type(pets.recorder)().store)  # new metadata
    record_push(pets.store, pets.recipe, rolled_back)  # metadata restored from a backup

    assert pets.override(1) == (True, 'ada', 'they were cats')


def test_rollback_to_given_version(pets, two):
    with pytest.raises(ModelError, match=f'the model of version {two[1].name} is live already'):
        pets.rollback(two[1].name)
    names = ', '.join(each.name for each in two)
    with pytest.raises(ModelError, match=f'there is no version 7; there are {names}$'):
        pets.rollback('7')
    assert pets.versions == two
    pets.rollback(two[0].name)
    assert graph(pets.live) == graph(two[0])


def test_rollback_is_uploaded_and_commands_show_it(pets, two, call, s3_bucket):
    pets.recipe = Recipe.model_validate(
        {**pets.recipe.model_dump(), 'push': {'url': f'{s3_bucket.url}/models'}}
    )
    bucket = pets.recipe.serving_bucket
    arguments = ('models', '--set', f'push.url={s3_bucket.url}/models')
    assert f'{s3_bucket.url}/models has no version yet' in call(*arguments).stdout

    rolled_back = pets.rollback().folder

    assert bucket.served_version() == int(rolled_back.name)
    assert s3_bucket.read(f'models/{rolled_back.name}/saved_model.pb').decode() == graph(two[0])
    assert f'{s3_bucket.url}/models serves {rolled_back.name}\n' in call(*arguments).stdout
    (pets.serving / '5000000000').mkdir()
    assert f'serves {rolled_back.name}, which is not the live version' in call(*arguments).stdout


def test_failed_upload_of_a_rollback_changes_nothing(pets, two, s3_bucket):
    pets.recipe = Recipe.model_validate(
        {**pets.recipe.model_dump(), 'push': {'url': f'{s3_bucket.url}-typo/models'}}
    )
    with pytest.raises(PushError, match='-typo/models does not exist'):
        pets.rollback()
    assert pets.versions == two
    assert pets.override(1) is None


def test_overrides_need_a_model(pets):
    for override in (pets.rollback, pets.unbless):
        with pytest.raises(ModelError, match='there is no version in'):
            override()
    with pytest.raises(ModelError, match='is neither a version nor a model'):
        pets.bless('7')


def test_copy_of_the_runs_does_not_change_the_original(pets, two, tmp_path):
    shutil.copytree(pets.recipe.home, tmp_path / 'copy' / 'pets')
    original, pets.recipe = (
        pets.recipe,
        pets.recipe.model_copy(update={'workdir': tmp_path / 'copy'}),
    )
    copies = versions_in(pets.recipe.serving_directory)
    hint = f'was copied, or .* or --set pipeline_root={original.artifacts_directory}$'

    for override in (pets.rollback, pets.unbless, lambda: pets.bless(two[0].name)):
        with pytest.raises(ModelError, match=hint):
            override()

    assert (pets.override(0), pets.override(1)) == (None, None)
    assert versions_in(pets.recipe.serving_directory) == copies
    moved = original.artifacts_directory.rename(tmp_path / 'moved')
    with pytest.raises(VolumeNotMounted, match=f'^{original.artifacts_directory}, which earlier'):
        pets.unbless()
    moved.rename(original.artifacts_directory)
    pets.recipe = pets.recipe.model_copy(update={'pipeline_root': original.artifacts_directory})
    pets.unbless()
    assert pets.override(1) == (False, 'ada', 'wrong labels')


def test_killed_rollback_in_a_copy_does_not_change_the_original(pets, two, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(overrides, 'record_push', lambda *_: None)  # as if it was killed
        pets.rollback()
    copy = pets.recipe.model_copy(update={'workdir': tmp_path / 'copy'})
    shutil.copytree(pets.recipe.home, copy.home)

    finish_pushes(copy, pets.store)
    assert pets.override(1) is None
    finish_pushes(pets.recipe, pets.store)
    assert pets.override(1) == (False, 'ada', 'too many cats')


def test_version_copied_by_a_user(pets, two):
    (pets.serving / '5').mkdir()
    (pets.serving / '5' / 'saved_model.pb').write_text('copied')

    with pytest.raises(ModelError, match='version 5 was not pushed by pets'):
        pets.unbless('5')
    pets.rollback('5')

    assert graph(pets.live) == 'copied'
    assert pets.override(1) == (False, 'ada', 'too many cats')
    with pytest.raises(ModelError, match='its model is not known'):
        trace(pets.store, 'pets', pets.live.name)


def test_killed_rollback_is_recorded_once(pets, two, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(overrides, 'record_push', kill)
        with pytest.raises(KeyboardInterrupt):
            pets.rollback()

    with pytest.raises(ModelError, match=r'no version before .* holds another, still blessed'):
        pets.rollback()

    assert graph(pets.live) == graph(two[0])
    assert pets.override(1) == (False, 'ada', 'too many cats')
    assert len(pets.executions('Rollback')) == 1
    assert pets.pushed[-1] == (pets.live, {1: 'a'})


def test_killed_push_is_recorded_once(pets, two):
    pets.push(pets.train({4: 'd'}), uri='/other/metadata', recorded=False)
    folder = pets.push(pets.train({3: 'c'}), recorded=False)
    assert pets.pushed[-1] != (folder, {3: 'c'})

    for _ in range(2):
        finish_pushes(pets.recipe, pets.store)

    provenance = Provenance(pets.store, 'pets')
    assert pets.pushed[-1] == (folder, {3: 'c'})
    assert provenance.run_id(provenance.pushed()[-1]) == 'run-4'
    assert len(pets.executions('Adopt')) == 3


def test_bless_pushes_the_model_and_no_later_candidate(pets, two):
    candidate = pets.train({3: 'c'}, blessed=False)
    pets.train({3: 'd'}, blessed=False)

    assert not pets.bless(candidate.uri).unchanged

    assert graph(pets.live) == f'graph of {candidate.id}'
    assert pets.override(2) == (True, 'ada', 'they were cats')
    about = read_note(pets.live).about
    assert (about.manual_override, about.person, about.spans) == ('bless', 'ada', (3,))
    assert pets.executions('Bless') == [{'person': 'ada', 'reason': 'they were cats'}]
    assert pets.pushed[-1] == (pets.live, {3: 'c'})


@pytest.mark.parametrize('form', ['version', 'folder', 'model'])
def test_bless_accepts_version_or_folder(pets, two, form):
    pets.rollback()
    given = {'version': two[1].name, 'folder': two[1], 'model': pets.recorder.models[1].uri}

    pets.bless(str(given[form]))

    assert graph(pets.live) == graph(two[1])
    assert pets.override(1) == (True, 'ada', 'they were cats')


def test_bless_keeps_extra_files_of_the_version(pets, two, tmp_path):
    (tmp_path / 'small.tflite').write_text('small')
    extra_files = {'small.tflite': tmp_path / 'small.tflite'}
    with_lite = pets.push(pets.train({3: 'c'}), extra_files=extra_files)
    assert pets.bless(with_lite.name).unchanged
    assert (pets.live, len(pets.executions('Bless'))) == (with_lite, 1)

    pets.rollback()
    again = pets.bless(with_lite.name)

    assert (again.folder / 'assets.extra' / 'small.tflite').read_text() == 'small'


def test_bless_rejects_unknown_or_unevaluated_model(pets, two, tmp_path):
    with pytest.raises(ModelError, match='is neither a version nor a model'):
        pets.bless(str(tmp_path))
    model = pets.recorder.run({3: 'c'}, evaluated=False)
    with pytest.raises(ModelError, match=re.escape(f'{model.uri} was never evaluated')):
        pets.bless(model.uri)


def test_unbless_keeps_the_model_live(pets, two):
    assert pets.unbless() == (two[1], True)
    assert pets.unbless(two[0].name) == (two[0], False)

    assert pets.versions == two
    assert pets.override(1) == (False, 'ada', 'wrong labels')
    assert [each['version'] for each in pets.executions('Unbless')] == [
        int(each.name) for each in reversed(two)
    ]


def test_damaged_override_file_is_reported_and_can_be_replaced(pets, two, call):
    damaged = Path(pets.recorder.models[0].uri) / OVERRIDE_FILE
    damaged.write_text('{')
    for command in (['models'], ['rollback', *WHY]):
        done = call(*command)
        assert done.exit_code == 2
        assert done.stderr.startswith(f'error: {damaged} is damaged')
    printed = call('unbless', two[0].name, *WHY).stdout
    assert printed == f'the blessing of {two[0].name} is withdrawn\n'
    printed = call('bless', two[0].name, '--force', *WHY).stdout
    assert printed == f'blessed; live: {pets.live}\n'


def test_records_user_of_the_environment(pets, two, call, monkeypatch):
    monkeypatch.setenv('CATDOG_USER', ' grace\n')
    assert call('unbless', *WHY).exit_code == 0
    assert pets.override(1) == (False, 'grace', 'why')


def test_refuses_user_and_reason_that_are_no_text(pets, two, call, monkeypatch):
    done = call('unbless', '--reason', '\udcff')
    assert (done.exit_code, done.stderr) == (2, 'error: --reason is not valid UTF-8\n')
    monkeypatch.setenv('CATDOG_USER', '\udcff')
    assert 'CATDOG_USER is not valid UTF-8' in call('unbless', '--reason', 'x').stderr


@pytest.mark.parametrize('command', [['rollback'], ['unbless'], ['bless', 'VERSION', '--force']])
def test_refuses_override_without_a_user(pets, two, call, monkeypatch, command):
    monkeypatch.setenv('CATDOG_USER', '')
    done = call(*(two[0].name if word == 'VERSION' else word for word in command), *WHY)
    assert done.exit_code == 2
    assert (
        done.stderr == 'error: the environment variable CATDOG_USER is empty; set it to your name\n'
    )
    assert (pets.versions, pets.override(0), pets.override(1)) == (two, None, None)


def test_user_without_name_is_its_id(monkeypatch):
    monkeypatch.setattr(overrides.getpass, 'getuser', lambda: {}['name'])
    assert overrides.user_name().isdigit()


def test_models_lists_versions_with_overrides(pets, two, call):
    (pets.serving / '5').mkdir()
    done = call('rollback', '--reason', 'too many [cats]')
    assert done.stdout == f'live: {pets.live}\n'

    table = call('models').stdout
    rows = json.loads(call('models', '--json').stdout)

    versions = [each.name for each in reversed(pets.versions)]
    assert [line.split()[0] for line in table.splitlines()[1:5]] == versions
    assert 'not pushed from here' in table
    assert f'{versions[0]}: rolled back to {two[0].name} by ada: too many [cats]\n' in table
    assert table.splitlines()[-1].startswith(f'{two[1].name}: its blessing was manually withdrawn')
    assert [str(each['version']) for each in rows] == versions
    assert [each['live'] for each in rows] == [True, False, False, False]
    assert [each['spans'] for each in rows] == [[1], [1, 2], [1], []]
    assert [each['run'] for each in rows] == ['run-1', 'run-2', 'run-1', None]
    assert [each['accuracy'] for each in rows] == [0.9, 0.9, 0.9, None]


@pytest.mark.parametrize(
    ('command', 'words'),
    [
        (['bless'], 'add MODEL (a version, or the folder of a model), --force, --reason TEXT\n'),
        (['bless', '1', '--reason', 'why'], 'add --force\n'),
        (['unbless', '--reason', ' '], '--reason is missing'),
        (['rollback'], '--reason is missing'),
        (['rollback', *WHY], 'pets has no runs in'),
    ],
)
def test_overrides_need_a_run_a_reason_and_force(call, command, words):
    done = call(*command)
    assert done.exit_code == 2
    assert words in done.stderr


def test_overrides_are_refused_during_a_run(pets, two, call):
    pets.recipe.home.mkdir(exist_ok=True)
    with locked(pets.recipe.home / '.lock', AlreadyRunning()):
        done = call('rollback', *WHY)
    assert done.exit_code == 2
    assert 'another run of pets' in done.stderr
    assert pets.versions == two


def test_reports_read_only_metadata(pets, two, call, monkeypatch):
    def refuse(*_):
        raise InternalError('attempt to write a readonly database')

    monkeypatch.setattr(type(pets.store), 'put_execution', refuse)
    done = call('unbless', *WHY)
    assert done.exit_code == 1
    assert 'cannot be written: attempt to write a readonly database' in done.stderr


def test_full_disk_changes_no_version(pets, two, call, monkeypatch):
    def refuse(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'rename', refuse)
    done = call('rollback', *WHY)
    assert done.exit_code == 1
    assert f'{pets.serving}: No space left on device' in done.stderr
    assert pets.override(1) is None
    with pytest.raises(PushError, match=r'No space .*; the model is blessed'):
        pets.bless(two[0].name)
    assert pets.override(0) == (True, 'ada', 'they were cats')
    assert pets.versions == two
