"""Manual overrides: rollback, bless, unbless, and what the `models` command shows of them."""

import json
import re
from pathlib import Path

import click.testing
import filelock
import pytest
from ml_metadata.errors import InternalError
from rich.console import Console

from common.blessing import OVERRIDE_FILE, read_override
from common.errors import ModelError, PushError
from common.metadata_queries import custom_property
from components.pusher.serving_folder import About, read_note, versions_in
from components.pusher.versions import push, restore
from pipeline.config.recipe import Recipe
from pipeline.formatting import to_json
from pipeline.registry import overrides
from pipeline.registry.lineage import trace
from pipeline.registry.model_list import as_table, list_models
from pipeline.registry.overrides import bless, rollback, unbless, user_name
from pipeline.registry.recording import blessings_of, record_missing_pushes, record_push
from pipeline.retraining.used_spans import read_history
from pipeline_runner import main


class Pets:
    """A recipe with recorded runs and a serving folder."""

    def __init__(self, folder, recorder):
        recorder.folder = folder / 'models'
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

    def push(self, model, recorded=True, extra_files=None):
        """Pushes a model; without recording, as a run that is killed after the push."""
        about = About(recipe='pets', run='run-1', model=model.uri, model_id=model.id, accuracy=0.9)
        served = Path(model.uri) / 'Format-Serving'
        folder = push(served, self.serving, keep=9, about=about, extra_files=extra_files).folder
        if recorded:
            record_push(self.store, 'pets', folder)
        return folder

    def live(self):
        return versions_in(self.serving)[-1]

    def blessings(self, number):
        """The property `blessed` of the blessings of a model, by its index."""
        model = self.recorder.models[number]
        return [custom_property(each, 'blessed') for each in blessings_of(self.store, model.id)]

    def executions(self, kind):
        found = self.store.get_executions_by_type(f'catdog.{kind}')
        (context,) = {
            each.name
            for execution in found
            for each in self.store.get_contexts_by_execution(execution.id)
            if each.type == 'pipeline'
        }
        assert context == 'pets'
        return found


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
def call(pets):
    def run(*arguments):
        options = ['--workdir', str(pets.recipe.workdir), '--set', 'name=pets']
        return click.testing.CliRunner().invoke(main, [*arguments, *options])

    return run


@pytest.fixture
def stored(pets, monkeypatch):
    """Commands use the metadata of `pets`."""
    monkeypatch.setattr('pipeline.metadata_store.existing_store', lambda *_: pets.store)


@pytest.fixture
def full_disk(monkeypatch):
    def refuse(*_):
        raise OSError(28, 'full')

    monkeypatch.setattr(Path, 'rename', refuse)


def test_rollback_makes_previous_version_live_under_new_number(pets, two):
    pushed = rollback(pets.recipe, pets.store, None, 'too many cats')

    assert pushed.folder == pets.live()
    assert pushed.version > int(two[1].name)
    assert (pushed.folder / 'saved_model.pb').samefile(two[0] / 'saved_model.pb')
    live = read_history(pets.store, 'pets').live
    assert (live.destination, live.spans) == (str(pushed.folder), {1: 'a'})


def test_rollback_withdraws_blessing_of_live_model(pets, two):
    rollback(pets.recipe, pets.store, None, 'too many cats')

    assert (pets.blessings(0), pets.blessings(1)) == ([1], [0])
    override = read_override(Path(pets.recorder.models[1].uri))
    assert (override.blessed, override.person, override.reason) == (False, 'ada', 'too many cats')


def test_rollback_is_recorded_with_user_and_reason(pets, two):
    rollback(pets.recipe, pets.store, None, 'too many cats')

    (execution,) = pets.executions('Rollback')
    assert custom_property(execution, 'person') == 'ada'
    assert custom_property(execution, 'reason') == 'too many cats'
    assert str(custom_property(execution, 'version')) == two[0].name
    assert custom_property(execution, 'withdrawn_id') == pets.recorder.models[1].id


def test_lineage_after_rollback_is_that_of_the_restored_model(pets, two):
    pushed = rollback(pets.recipe, pets.store, None, 'too many cats')

    found = trace(pets.store, 'pets', str(pushed.version)).model
    assert (found.version, found.spans) == (str(pushed.version), {1: 'a'})
    assert found.run == 'run-1'


def test_rollback_to_given_version(pets, two):
    pets.push(pets.train({3: 'c'}))
    rollback(pets.recipe, pets.store, two[0].name, 'too many cats')
    assert graph(pets.live()) == graph(two[0])


def test_second_rollback_skips_withdrawn_models(pets, two):
    third = pets.push(pets.train({3: 'c'}))
    rollback(pets.recipe, pets.store, None, 'too many cats')
    rollback(pets.recipe, pets.store, None, 'too many dogs')
    assert graph(pets.live()) == graph(two[0])
    with pytest.raises(ModelError, match=r'no version before .* that holds another model'):
        rollback(pets.recipe, pets.store, None, 'too many birds')
    with pytest.raises(ModelError, match=f'version {third.name}: .* by ada: too many cats'):
        rollback(pets.recipe, pets.store, third.name, 'birds after all')


def test_withdrawal_is_known_to_new_metadata(pets, two):
    third = pets.push(pets.train({3: 'c'}))
    unbless(pets.recipe, pets.store, two[1].name, 'wrong labels')
    new = type(pets.recorder)().store

    rollback(pets.recipe, new, None, 'too many cats')

    assert third.exists()
    assert graph(pets.live()) == graph(two[0])
    with pytest.raises(ModelError, match='by ada: wrong labels'):
        rollback(pets.recipe, new, two[1].name, 'why')


def test_earlier_rollback_withdraws_no_blessing_in_new_metadata(pets, two):
    rollback(pets.recipe, pets.store, None, 'too many cats')
    withdrawn = pets.recorder.models[1]
    new = type(pets.recorder)()
    new.folder = '/elsewhere'
    for _ in range(2):
        new.run({1: 'a'}), new.run({1: 'a', 2: 'b'})
    assert new.store.get_artifacts_by_id([withdrawn.id])

    record_missing_pushes(pets.recipe, new.store)

    assert [
        custom_property(each, 'blessed')
        for model in new.models
        for each in blessings_of(new.store, model.id)
    ] == [1, 1, 1, 1]
    assert not Path('/elsewhere').exists()


def test_rollback_rejects_live_and_unknown_versions(pets, two):
    with pytest.raises(ModelError, match=f'version {two[1].name} is live already'):
        rollback(pets.recipe, pets.store, two[1].name, 'why')
    names = ', '.join(each.name for each in two)
    with pytest.raises(ModelError, match=f'there is no version 7; there are {names}$'):
        rollback(pets.recipe, pets.store, '7', 'why')


def test_rollback_needs_a_version(pets):
    with pytest.raises(ModelError, match='there is no version in'):
        rollback(pets.recipe, pets.store, None, 'why')


def test_rollback_to_version_copied_by_a_user(pets, two):
    (pets.serving / '5').mkdir()
    (pets.serving / '5' / 'saved_model.pb').write_text('copied')

    rollback(pets.recipe, pets.store, '5', 'too many cats')

    assert graph(pets.live()) == 'copied'
    assert pets.blessings(1) == [0]
    with pytest.raises(ModelError, match='nothing is known of its model'):
        trace(pets.store, 'pets', pets.live().name)


def test_unrecorded_rollback_is_recorded_once(pets, two):
    first, second = pets.recorder.models
    about = About(
        recipe='pets',
        model=first.uri,
        model_id=first.id,
        manual_override='rollback',
        person='ada',
        reason='cats',
        version=int(two[0].name),
        withdrawn=second.uri,
        withdrawn_id=second.id,
    )
    restored = restore(two[0], keep=9, about=about)

    for _ in range(2):
        record_missing_pushes(pets.recipe, pets.store)

    assert read_history(pets.store, 'pets').live.destination == str(restored.folder)
    assert pets.blessings(1) == [0]
    assert len(pets.executions('Rollback')) == 1


def test_repeated_rollback_after_kill_does_not_restore_the_model(pets, two, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(overrides, 'record_push', kill)
        with pytest.raises(KeyboardInterrupt):
            rollback(pets.recipe, pets.store, None, 'too many cats')

    with pytest.raises(ModelError, match=r'no version before .* that holds another model'):
        rollback(pets.recipe, pets.store, None, 'too many cats')

    assert graph(pets.live()) == graph(two[0])
    assert pets.blessings(1) == [0]
    assert len(pets.executions('Rollback')) == 1


def test_unrecorded_push_is_recorded_once(pets, two):
    folder = pets.push(pets.train({3: 'c'}), recorded=False)
    assert read_history(pets.store, 'pets').live.destination != str(folder)

    for _ in range(2):
        record_missing_pushes(pets.recipe, pets.store)

    live = read_history(pets.store, 'pets').live
    assert (live.destination, live.spans, live.run_id) == (str(folder), {3: 'c'}, 'run-1')
    assert len(pets.executions('Adopt')) == 3


def test_push_with_other_metadata_is_not_recorded(pets, two):
    model = pets.train({3: 'c'})
    about = About(recipe='pets', model='/elsewhere', model_id=model.id)
    push(Path(model.uri) / 'Format-Serving', pets.serving, keep=9, about=about)

    record_missing_pushes(pets.recipe, pets.store)

    assert len(read_history(pets.store, 'pets').pushes) == 2


def test_bless_pushes_last_candidate(pets, two):
    candidate = pets.train({3: 'c'}, blessed=False)

    pushed = bless(pets.recipe, pets.store, None, 'the test images were mislabelled')

    assert graph(pets.live()) == f'graph of {candidate.id}'
    assert not pushed.unchanged
    assert pets.blessings(2) == [1]
    about = read_note(pets.live()).about
    assert (about.manual_override, about.person, about.spans) == ('bless', 'ada', (3,))
    (execution,) = pets.executions('Bless')
    assert custom_property(execution, 'reason') == 'the test images were mislabelled'
    assert read_history(pets.store, 'pets').candidates[-1].pushed


@pytest.mark.parametrize('form', ['version', 'folder', 'model'])
def test_bless_accepts_version_or_folder(pets, two, form):
    rollback(pets.recipe, pets.store, None, 'too many cats')
    given = {'version': two[1].name, 'folder': two[1], 'model': pets.recorder.models[1].uri}

    bless(pets.recipe, pets.store, str(given[form]), 'they were cats')

    assert graph(pets.live()) == graph(two[1])
    assert pets.blessings(1) == [1]


def test_bless_does_not_push_live_model_again(pets, two):
    unbless(pets.recipe, pets.store, None, 'too many cats')
    assert bless(pets.recipe, pets.store, two[1].name, 'no').unchanged
    assert versions_in(pets.serving) == two
    assert len(pets.executions('Bless')) == 1


def test_bless_keeps_extra_files_of_the_version(pets, two, tmp_path):
    (tmp_path / 'small.tflite').write_text('small')
    extra_files = {'small.tflite': tmp_path / 'small.tflite'}
    with_lite = pets.push(pets.train({3: 'c'}), extra_files=extra_files)
    assert bless(pets.recipe, pets.store, with_lite.name, 'still good').unchanged

    rollback(pets.recipe, pets.store, None, 'too many cats')
    again = bless(pets.recipe, pets.store, with_lite.name, 'they were cats')

    assert (again.folder / 'assets.extra' / 'small.tflite').read_text() == 'small'


def test_bless_rejects_unknown_folder(pets, two, tmp_path):
    with pytest.raises(ModelError, match='is neither a version nor a model that pets'):
        bless(pets.recipe, pets.store, str(tmp_path), 'why')


def test_bless_rejects_model_without_evaluation(pets, two):
    model = pets.recorder.run({3: 'c'}, evaluated=False)
    with pytest.raises(ModelError, match=re.escape(f'{model.uri} was never evaluated')):
        bless(pets.recipe, pets.store, model.uri, 'why')


def test_bless_needs_a_candidate(pets):
    with pytest.raises(ModelError, match='there is no candidate'):
        bless(pets.recipe, pets.store, None, 'why')


def test_unbless_keeps_the_model_live(pets, two):
    assert unbless(pets.recipe, pets.store, None, 'too many cats') == (two[1], True)

    assert versions_in(pets.serving) == two
    assert (pets.blessings(0), pets.blessings(1)) == ([1], [0])
    (execution,) = pets.executions('Unbless')
    assert custom_property(execution, 'reason') == 'too many cats'


def test_unbless_of_earlier_version(pets, two):
    assert unbless(pets.recipe, pets.store, two[0].name, 'why') == (two[0], False)


def test_unbless_rejects_version_copied_by_a_user(pets, two):
    (pets.serving / '9999999999').mkdir()
    with pytest.raises(ModelError, match='version 9999999999 was not pushed by pets'):
        unbless(pets.recipe, pets.store, None, 'why')


def test_unbless_replaces_marker_file(pets, tmp_path):
    model = pets.train({1: 'a'})
    (blessing,) = blessings_of(pets.store, model.id)
    blessing.uri = str(tmp_path)
    (tmp_path / 'BLESSED').touch()
    pets.store.put_artifacts([blessing])
    pets.push(model)

    unbless(pets.recipe, pets.store, None, 'why')
    assert (tmp_path / 'NOT_BLESSED').exists()
    assert not (tmp_path / 'BLESSED').exists()


def test_damaged_override_file_is_reported_and_can_be_replaced(pets, two, stored, call):
    damaged = Path(pets.recorder.models[0].uri) / OVERRIDE_FILE
    damaged.write_text('{')
    for command in (['models'], ['rollback', '--reason', 'why']):
        done = call(*command)
        assert done.exit_code == 2
        assert done.stderr.startswith(f'error: {damaged} is damaged')
    assert call('unbless', two[0].name, '--reason', 'why').exit_code == 0
    assert call('models').exit_code == 0


def test_user_without_name_is_its_id(monkeypatch):
    monkeypatch.setattr(overrides.getpass, 'getuser', lambda: {}['name'])
    assert user_name().isdigit()


def test_models_table_shows_live_version_and_overrides(pets, two):
    rollback(pets.recipe, pets.store, None, 'too many [cats]')
    (pets.serving / '5').mkdir()
    console = Console(width=140)
    with console.capture() as capture:
        console.print(as_table(list_models(pets.recipe, pets.store)))
    lines = capture.get().splitlines()
    assert [line.split()[0] for line in lines[1:5]] == [
        each.name for each in reversed(versions_in(pets.serving))
    ]
    assert ['live' in line.split() for line in lines[1:5]] == [True, False, False, False]
    assert 'not pushed from here' in lines[4]
    assert f'{pets.live().name}: rolled back to {two[0].name} by ada: too many [cats]' in lines
    assert lines[-1].startswith(f'{two[1].name}: ')
    assert lines[-1].endswith(' by ada: too many [cats]')


def test_models_as_json(pets, two):
    values = json.loads(to_json(list_models(pets.recipe, pets.store)))
    assert [each['live'] for each in values] == [True, False]
    assert [each['spans'] for each in values] == [[1, 2], [1]]
    assert {each['accuracy'] for each in values} == {0.9}


def test_models_are_listed_without_metadata(pets, two):
    (live, _) = list_models(pets.recipe, None)
    assert (live.live, live.accuracy, live.run) == (True, 0.9, 'run-1')


@pytest.mark.parametrize(
    ('command', 'words'),
    [
        (['bless'], 'add --force'),
        (['bless', '--force'], '--reason is missing'),
        (['unbless', '--reason', ' '], '--reason is missing'),
        (['rollback'], '--reason is missing'),
    ],
)
def test_overrides_need_a_reason_and_bless_needs_force(call, command, words):
    done = call(*command)
    assert done.exit_code == 2
    assert words in done.stderr


def test_overrides_need_a_run(pets, call):
    done = call('rollback', '--reason', 'why')
    assert done.exit_code == 2
    assert f'pets has no runs in {pets.recipe.home}' in done.stderr
    assert not pets.recipe.home.exists()
    assert call('models').stdout == f'no version in {pets.serving}\n'


@pytest.mark.parametrize('command', [['rollback'], ['bless', '--force'], ['unbless']])
def test_overrides_are_refused_during_a_run(pets, two, stored, call, command):
    pets.recipe.home.mkdir(exist_ok=True)
    with filelock.FileLock(pets.recipe.home / '.lock'):
        done = call(*command, '--reason', 'why')
    assert done.exit_code == 2
    assert 'another run of pets' in done.stderr
    assert versions_in(pets.serving) == two


def test_override_commands_print_the_live_version(pets, two, stored, call):
    printed = [
        call(*command, '--reason', 'why').stdout
        for command in (['unbless'], ['rollback'], ['bless', two[1].name, '--force'])
    ]
    restored, blessed = versions_in(pets.serving)[2:]
    assert printed == [
        f'the blessing of {two[1].name} is withdrawn; its model stays live until a rollback\n',
        f'live: {restored}\n',
        f'blessed; live: {blessed}\n',
    ]


@pytest.mark.parametrize('command', [['rollback'], ['unbless'], ['bless', '--force']])
def test_overrides_report_read_only_metadata(pets, two, stored, call, monkeypatch, command):
    def refuse(*_):
        raise InternalError('attempt to write a readonly database')

    monkeypatch.setattr(type(pets.store), 'put_artifacts', refuse)
    done = call(*command, '--reason', 'why')
    assert done.exit_code == 1
    assert 'cannot be written: attempt to write a readonly database' in done.stderr


def test_model_is_blessed_even_if_push_fails(pets, two, full_disk):
    pets.train({3: 'c'}, blessed=False)
    with pytest.raises(PushError, match=r'No space .*; the model is blessed'):
        bless(pets.recipe, pets.store, None, 'why')
    assert pets.blessings(2) == [1]


def test_failed_rollback_changes_nothing(pets, two, stored, call, full_disk):
    done = call('rollback', '--reason', 'why')
    assert done.exit_code == 1
    assert f'{pets.serving}: No space left on device' in done.stderr
    assert versions_in(pets.serving) == two
    assert pets.blessings(1) == [1]
