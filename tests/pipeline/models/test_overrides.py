"""Manual overrides: rollback, bless and unbless, and what `models` shows of them."""

import json
import shutil
from pathlib import Path

import click.testing
import pytest

from common.errors import AlreadyRunning, ConfigError, ModelError, PushError
from common.files import locked
from common.manual_override import OVERRIDE_FILE, read_override
from components.pusher.bucket import served_version
from components.pusher.serving_folder import override_of, read_note, versions_in
from pipeline.config.recipe import Recipe
from pipeline.models import overrides
from pipeline.run.record import Run, read_runs, utc_now, write_run
from pipeline_runner import main

WHY = ('--reason', 'why')
WITHOUT_TIME_ZONE = (
    '{"blessed": false, "person": "a", "reason": "b", "moment": "2026-11-21T00:00:00"}'
)


class Overrides:
    """Calls the overrides of a recipe, and reads what they have stored."""

    def __init__(self, pets):
        self.pets, self.recipe = pets, pets.recipe

    def rollback(self, version=None, reason='too many cats'):
        return overrides.rollback(self.recipe, self.pets.provenance, version, reason)

    def bless(self, model, reason='they were cats', force=True):
        return overrides.bless(self.recipe, self.pets.provenance, model, reason, force=force)

    def unbless(self, version=None, reason='wrong labels'):
        return overrides.unbless(self.recipe, self.pets.provenance, version, reason)

    @property
    def live(self):
        return versions_in(self.recipe.serving_directory)[-1]

    def override(self, number):
        """Decision and reason of the manual override of a model, by its index."""
        found = read_override(Path(self.pets.recorder.models[number].uri))
        return found and (found.blessed, found.person, found.reason)

    @property
    def recorded(self):
        return [(run.kind, run.person, *run.reasons) for run in read_runs(self.recipe.home)]


def graph(version):
    return (version / 'saved_model.pb').read_text()


@pytest.fixture
def user(pets, monkeypatch):
    monkeypatch.setenv('LOGNAME', 'ada')
    return Overrides(pets)


@pytest.fixture
def two(pets):
    """Two pushed versions."""
    return [pets.push(pets.train(spans)) for spans in ({1: 'a'}, {1: 'a', 2: 'b'})]


@pytest.fixture
def call(pets, user, invoke, monkeypatch):
    """Calls a command, with the metadata of `pets`."""

    def existing_store(*_):
        return pets.store if pets.recorder.models else None

    monkeypatch.setattr('pipeline.metadata_store.existing_store', existing_store)
    return invoke


@pytest.mark.parametrize('given', [False, True])
def test_rollback_makes_earlier_version_live_under_new_number(pets, two, user, given):
    pushed = user.rollback(two[0].name if given else None)

    assert pushed.folder == user.live
    assert int(pushed.folder.name) > int(two[1].name)
    assert graph(user.live) == graph(two[0])
    assert pets.provenance.model_of(user.live) == pets.recorder.models[0]
    assert (user.override(0), user.override(1)) == (None, (False, 'ada', 'too many cats'))
    assert override_of(two[1]).reason == 'too many cats'
    assert read_note(user.live).about.version == int(two[0].name)
    assert user.recorded == [('rollback', 'ada', 'too many cats')]


@pytest.mark.parametrize('new_metadata', [False, True])
def test_rollback_takes_the_newest_version_that_is_complete_and_not_withdrawn(
    pets, two, user, new_metadata
):
    damaged, withdrawn = (pets.push(pets.train({span: 'c'})) for span in (3, 4))
    shutil.rmtree(damaged / 'variables')
    user.recipe = Recipe.model_validate({**user.recipe.model_dump(), 'push': {'keep': 9}})

    user.rollback()
    assert graph(user.live) == graph(two[1])
    if new_metadata:  # the versions know it, too
        pets.store = type(pets.recorder)().store
    user.rollback(reason='too many dogs')
    assert graph(user.live) == graph(two[0])

    for given, problem in (
        (None, 'no version before .* holds another, still blessed'),
        (damaged.name, 'is damaged'),
        (withdrawn.name, 'by ada: too many cats'),
        (user.live.name, 'its model is live already'),
        ('7', f'there is no version 7 in .*: {", ".join(each.name for each in pets.versions)}$'),
    ):
        with pytest.raises(ModelError, match=problem):
            user.rollback(given)


def test_rollback_is_uploaded_and_commands_show_it(pets, two, user, call, s3_bucket):
    push = {'url': f'{s3_bucket.url}/models'}
    user.recipe = Recipe.model_validate({**user.recipe.model_dump(), 'push': push})
    bucket = user.recipe.serving_bucket
    arguments = ('models', '--set', f'push.url={s3_bucket.url}/models')
    assert f'{s3_bucket.url}/models has no version yet' in call(*arguments).stdout

    rolled_back = user.rollback().folder

    assert served_version(bucket) == int(rolled_back.name)
    assert s3_bucket.read(f'models/{rolled_back.name}/saved_model.pb').decode() == graph(two[0])
    assert f'{s3_bucket.url}/models serves {rolled_back.name}\n' in call(*arguments).stdout
    (pets.serving / '5000000000').mkdir()
    assert f'serves {rolled_back.name}, which is not the live version' in call(*arguments).stdout


def test_version_copied_by_a_user(pets, two, user):
    copied = pets.serving / '5'
    shutil.copytree(two[0], copied)
    (copied / 'saved_model.pb').write_text('copied')

    user.rollback('5')

    assert graph(user.live) == 'copied'
    assert user.override(1) == (False, 'ada', 'too many cats')
    user.unbless('5')
    assert not override_of(user.live).blessed  # it holds the same model
    with pytest.raises(ModelError, match='pets has evaluated no model of a version or run 5'):
        user.bless('5')


def test_killed_rollback_can_be_repeated(pets, two, user, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'rename', kill)
        with pytest.raises(KeyboardInterrupt):
            user.rollback()
    assert (user.live, user.override(1)) == (two[1], (False, 'ada', 'too many cats'))

    user.rollback()
    assert graph(user.live) == graph(two[0])


def test_rollback_of_a_version_that_was_replaced_meanwhile(pets, two, user, monkeypatch):
    def upload(recipe, *arguments, **options):
        pets.push(pets.train({3: 'c'}))  # by a run on another machine
        return push_again(recipe, *arguments, **options)

    push_again = overrides._push
    monkeypatch.setattr(overrides, '_push', upload)
    with pytest.raises(ModelError, match='another version went live meanwhile'):
        user.rollback()
    assert user.override(1) is None


def test_rollback_in_the_folder_of_another_recipe_changes_nothing(pets, two, user):
    user.recipe = Recipe(name='dogs', workdir=pets.recipe.workdir, push_directory=pets.serving)
    with pytest.raises(ModelError, match='are of the recipe pets, not of dogs'):
        user.rollback()
    assert override_of(two[1]) is None


def test_bless_needs_force_if_the_last_decision_rejects(pets, two, user):
    pets.train({1: 'a'}, model=pets.recorder.models[0], blessed=False)
    with pytest.raises(ConfigError, match=r'the gate rejected .*; add --force'):
        user.bless(two[0].name, force=False)


def test_bless_pushes_the_model_of_the_run_and_no_later_candidate(pets, two, user):
    candidate = pets.train({3: 'c'}, blessed=False)
    pets.train({3: 'd'}, blessed=False)

    assert not user.bless('run-3').unchanged

    assert graph(user.live) == f'graph of {candidate.id}'
    assert user.override(2) == (True, 'ada', 'they were cats')
    about = read_note(user.live).about
    assert (about.manual_override, about.person, about.spans) == ('bless', 'ada', (3,))
    assert user.recorded == [('bless', 'ada', 'they were cats')]


def test_bless_of_a_withdrawn_model_keeps_the_extra_files_of_its_version(pets, two, user, tmp_path):
    (tmp_path / 'small.tflite').write_text('small')
    extra_files = {'small.tflite': tmp_path / 'small.tflite'}
    with_lite = pets.push(pets.train({3: 'c'}), extra_files=extra_files)
    assert user.bless(with_lite.name, force=False).unchanged  # the gate had blessed it
    user.rollback()

    user.bless(with_lite.name, force=False)

    assert graph(user.live) == graph(with_lite)
    assert (user.live / 'assets.extra' / 'small.tflite').read_text() == 'small'
    assert user.override(2) == (True, 'ada', 'they were cats')


def test_bless_rejects_unknown_or_unevaluated_model(pets, two, user):
    pets.train({3: 'c'}, evaluated=False)
    for given in ('7', 'run-3', str(two[0])):
        with pytest.raises(ModelError, match=f'no model of a version or run {given}'):
            user.bless(given)


@pytest.mark.parametrize('text', ['{', WITHOUT_TIME_ZONE])
def test_damaged_override_file_is_reported_and_can_be_replaced(two, call, user, text):
    damaged = two[0] / 'assets.extra' / OVERRIDE_FILE
    damaged.write_text(text)
    for command in (['models'], ['models', 'rollback', *WHY]):
        done = call(*command)
        assert done.exit_code == 2
        assert done.stderr.startswith(f'error: {damaged} is damaged')
    for command in ('unbless', 'bless'):
        assert call('models', command, two[0].name, *WHY).exit_code == 0
    assert graph(user.live) == graph(two[0])


def test_unbless_keeps_the_model_live(two, user, monkeypatch):
    monkeypatch.setenv('CATDOG_USER', ' grace\n')
    assert user.unbless() == (two[1], True)
    assert user.unbless(two[0].name) == (two[0], False)

    assert user.live == two[1]
    assert user.override(1) == (False, 'grace', 'wrong labels')
    assert user.recorded == [('unbless', 'grace', 'wrong labels')] * 2


@pytest.mark.parametrize(
    ('person', 'words', 'error'),
    [
        ('', ['bless', 'run-1', '--force', *WHY], 'CATDOG_USER is empty; set it to your name'),
        ('\udcff', ['unbless', *WHY], 'CATDOG_USER is not valid UTF-8'),
        ('ada', ['unbless', '--reason', '\udcff'], '--reason is not valid UTF-8'),
        ('ada', ['bless'], 'needs MODEL (a version or the id of a run), --reason TEXT'),
        ('ada', ['bless', '1', '--reason', ' '], 'needs --reason TEXT'),
    ],
)
def test_overrides_need_a_user_and_a_reason(two, call, user, monkeypatch, person, words, error):
    monkeypatch.setenv('CATDOG_USER', person)
    done = call('models', *words)
    assert done.exit_code == 2
    assert done.stderr.endswith(f'{error}\n')
    assert (user.live, user.override(0), user.override(1)) == (two[1], None, None)


def test_override_without_a_version_or_a_run(user, call):
    for override in (user.rollback, user.unbless):
        with pytest.raises(ModelError, match='there is no version in '):
            override()
    done = call('models', 'rollback', *WHY)
    assert done.exit_code == 2
    assert 'pets has no runs in' in done.stderr


def test_models_lists_versions_with_overrides(pets, two, call):
    (pets.serving / '5').mkdir()
    for number, model in enumerate(pets.recorder.models, 1):
        run = {'id': f'run-{number}', 'recipe': 'pets', 'started': utc_now()}
        write_run(pets.recipe.home, Run(**run, model=model.uri, nodes={'Trainer': 1.0}))
    done = call('models', 'rollback', '--reason', 'too many [cats]')
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
    assert [each['run'] for each in rows] == ['run-1', 'run-2', 'run-1', None]
    notes = [each['note'] for each in rows]
    assert [each and each['about']['accuracy'] for each in notes] == [0.9, 0.9, 0.9, None]
    assert [each['override'] and each['override']['blessed'] for each in rows][:2] == [None, False]


def test_models_show_prints_the_lineage(two, call):
    found = json.loads(call('models', 'show', '--json').stdout)
    assert (found['model']['version'], found['model']['spans']) == (
        two[1].name,
        {'1': 'a', '2': 'b'},
    )
    printed = call('models', 'show', two[0].name).stdout
    assert printed.startswith(f'model:\n  artifact: {found["model"]["artifact"][:-1]}')
    assert f"version: '{two[0].name}'" in printed


def test_options_before_a_command_of_the_group_are_an_error():
    done = click.testing.CliRunner().invoke(main, ['models', '--workdir', 'x', 'unbless'])
    assert done.exit_code == 2
    assert 'give the options after the command: models unbless ...' in done.stderr


def test_overrides_are_refused_during_a_run(two, call, user):
    with locked(user.recipe.home / '.lock', AlreadyRunning()):
        done = call('models', 'rollback', *WHY)
    assert done.exit_code == 2
    assert 'another run of pets' in done.stderr
    assert user.live == two[1]


def test_full_disk_changes_no_version(pets, two, call, user, monkeypatch):
    def refuse(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'rename', refuse)
    done = call('models', 'rollback', *WHY)
    assert done.exit_code == 1
    assert (
        f'{pets.serving}: No space left on device; the blessing of version {two[1].name}'
        in done.stderr
    )
    assert user.override(1) == (False, 'ada', 'why')
    with pytest.raises(PushError, match=r'No space .*; the model is blessed'):
        user.bless(two[0].name)
    assert user.override(0) == (True, 'ada', 'they were cats')
    assert pets.versions == two
