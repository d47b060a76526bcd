"""A person takes a model back, blesses one, or withdraws a blessing; the metadata keeps why."""

import json
import re
from pathlib import Path

import click.testing
import filelock
import pytest
from ml_metadata.errors import InternalError
from rich.console import Console

from common.blessing import read_override
from common.errors import ModelError, PushError
from common.metadata_queries import custom_property
from components.pusher.serving_folder import About, read_note, versions_in
from components.pusher.versions import push, restore
from pipeline.config.recipe import Recipe
from pipeline.registry import model_list as models
from pipeline.registry import overrides as interventions
from pipeline.registry.lineage import trace
from pipeline.registry.overrides import bless, rollback, unbless
from pipeline.registry.recording import blessings_of, note_push, note_pushes
from pipeline.retraining.used_spans import read_history
from pipeline_runner import main


class Pets:
    """A recipe whose runs are recorded, and whose models are files."""

    def __init__(self, folder, recorder):
        recorder.folder = folder / 'models'
        self.recipe = Recipe(name='pets', workdir=folder)
        self.recorder, self.store = recorder, recorder.store
        self.serving = self.recipe.serving_directory

    def train(self, spans, blessed=True):
        """A model that was judged, and not pushed yet."""
        model = self.recorder.run(spans, blessed=blessed, pushed=False if blessed else None)
        served = Path(model.uri) / 'Format-Serving'
        served.mkdir(parents=True)
        (served / 'saved_model.pb').write_text(f'graph of {model.id}')
        return model

    def push(self, model, noted=True):
        """What a Pusher does, of a run that then dies if it is not noted."""
        about = About(recipe='pets', run='run-1', model=model.uri, model_id=model.id, accuracy=0.9)
        folder = push(Path(model.uri) / 'Format-Serving', self.serving, keep=9, about=about).folder
        if noted:
            note_push(self.store, 'pets', folder)
        return folder

    def live(self):
        return versions_in(self.serving)[-1]

    def graph(self):
        return (self.live() / 'saved_model.pb').read_text()

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


@pytest.fixture
def pets(tmp_path, recorder, monkeypatch):
    monkeypatch.setenv('LOGNAME', 'ada')
    return Pets(tmp_path, recorder)


@pytest.fixture
def two(pets):
    """Two models were pushed."""
    return [pets.push(pets.train(spans)) for spans in ({1: 'a'}, {1: 'a', 2: 'b'})]


def blessed(pets, number):
    return [
        custom_property(each, 'blessed')
        for each in blessings_of(pets.store, pets.recorder.models[number].id)
    ]


def test_a_rollback_makes_the_version_before_live_under_a_new_number(pets, two):
    pushed = rollback(pets.recipe, pets.store, None, 'too many cats')

    assert pushed.folder == pets.live()
    assert pushed.version > int(two[1].name)
    assert (pushed.folder / 'saved_model.pb').samefile(two[0] / 'saved_model.pb')
    live = read_history(pets.store, 'pets').live
    assert (live.destination, live.spans) == (str(pushed.folder), {1: 'a'})


def test_the_model_that_was_taken_back_loses_its_blessing(pets, two):
    rollback(pets.recipe, pets.store, None, 'too many cats')

    assert (blessed(pets, 0), blessed(pets, 1)) == ([1], [0])
    said = read_override(Path(pets.recorder.models[1].uri))
    assert said.describe() == 'its blessing was withdrawn by hand by ada: too many cats'


def test_a_rollback_is_in_the_metadata_with_who_and_why(pets, two):
    rollback(pets.recipe, pets.store, None, 'too many cats')

    (execution,) = pets.executions('Rollback')
    assert custom_property(execution, 'person') == 'ada'
    assert custom_property(execution, 'reason') == 'too many cats'
    assert str(custom_property(execution, 'version')) == two[0].name
    assert custom_property(execution, 'withdrawn_id') == pets.recorder.models[1].id


def test_the_lineage_of_a_version_that_came_back_is_that_of_its_model(pets, two):
    back = rollback(pets.recipe, pets.store, None, 'too many cats')

    found = trace(pets.store, 'pets', str(back.version)).model
    assert (found.version, found.spans) == (str(back.version), {1: 'a'})
    assert found.run == 'run-1'


def test_any_version_can_be_asked_for(pets, two):
    pets.push(pets.train({3: 'c'}))
    rollback(pets.recipe, pets.store, two[0].name, 'too many cats')
    assert pets.graph() == (two[0] / 'saved_model.pb').read_text()


def test_a_second_rollback_goes_to_no_model_that_was_taken_back(pets, two):
    third = pets.push(pets.train({3: 'c'}))
    rollback(pets.recipe, pets.store, None, 'too many cats')
    rollback(pets.recipe, pets.store, None, 'too many dogs')
    assert pets.graph() == (two[0] / 'saved_model.pb').read_text()
    with pytest.raises(ModelError, match=r'no version before .* that holds another model'):
        rollback(pets.recipe, pets.store, None, 'too many birds')
    with pytest.raises(ModelError, match=f'version {third.name}: its blessing was withdrawn'):
        rollback(pets.recipe, pets.store, third.name, 'birds after all')


def test_what_a_person_took_back_stays_so_in_metadata_that_began_anew(pets, two):
    third = pets.push(pets.train({3: 'c'}))
    unbless(pets.recipe, pets.store, two[1].name, 'wrong labels')
    anew = type(pets.recorder)().store

    rollback(pets.recipe, anew, None, 'too many cats')

    assert third.exists()
    assert pets.graph() == (two[0] / 'saved_model.pb').read_text()
    with pytest.raises(ModelError, match='its blessing was withdrawn by hand by ada: wrong'):
        rollback(pets.recipe, anew, two[1].name, 'why')


def test_a_rollback_of_earlier_metadata_withdraws_no_blessing_in_metadata_that_began_anew(
    pets, two
):
    rollback(pets.recipe, pets.store, None, 'too many cats')
    taken_back = pets.recorder.models[1]
    anew = type(pets.recorder)()
    anew.folder = '/elsewhere'
    for _ in range(2):
        anew.run({1: 'a'}), anew.run({1: 'a', 2: 'b'})
    assert anew.store.get_artifacts_by_id([taken_back.id])

    note_pushes(pets.recipe, anew.store)

    assert [
        custom_property(each, 'blessed')
        for model in anew.models
        for each in blessings_of(anew.store, model.id)
    ] == [1, 1, 1, 1]
    assert not Path('/elsewhere').exists()


def test_a_version_that_is_live_or_unknown_is_told(pets, two):
    with pytest.raises(ModelError, match=f'version {two[1].name} is live already'):
        rollback(pets.recipe, pets.store, two[1].name, 'why')
    names = ', '.join(each.name for each in two)
    with pytest.raises(ModelError, match=f'there is no version 7; there are {names}$'):
        rollback(pets.recipe, pets.store, '7', 'why')


def test_without_any_version_there_is_nothing_to_go_back_to(pets):
    with pytest.raises(ModelError, match='there is no version in'):
        rollback(pets.recipe, pets.store, None, 'why')


def test_a_version_that_somebody_put_there_can_be_made_live(pets, two):
    (pets.serving / '5').mkdir()
    (pets.serving / '5' / 'saved_model.pb').write_text('of somebody')

    rollback(pets.recipe, pets.store, '5', 'too many cats')

    assert pets.graph() == 'of somebody'
    assert blessed(pets, 1) == [0]
    with pytest.raises(ModelError, match='nothing is known of its model'):
        trace(pets.store, 'pets', pets.live().name)


def test_a_rollback_that_was_killed_before_it_was_noted_is_completed(pets, two):
    first, second = pets.recorder.models
    about = About(
        recipe='pets',
        model=first.uri,
        model_id=first.id,
        by_hand='rollback',
        person='ada',
        reason='cats',
        version=int(two[0].name),
        withdrawn=second.uri,
        withdrawn_id=second.id,
    )
    back = restore(two[0], keep=9, about=about)

    for _ in range(2):
        note_pushes(pets.recipe, pets.store)

    assert read_history(pets.store, 'pets').live.destination == str(back.folder)
    assert blessed(pets, 1) == [0]
    assert len(pets.executions('Rollback')) == 1


def killed(*_):
    raise KeyboardInterrupt


def test_a_rollback_that_was_killed_and_is_said_again_does_not_bring_the_model_back(
    pets, two, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(interventions, 'note_push', killed)
        with pytest.raises(KeyboardInterrupt):
            rollback(pets.recipe, pets.store, None, 'too many cats')

    with pytest.raises(ModelError, match=r'no version before .* that holds another model'):
        rollback(pets.recipe, pets.store, None, 'too many cats')

    assert pets.graph() == (two[0] / 'saved_model.pb').read_text()
    assert blessed(pets, 1) == [0]
    assert len(pets.executions('Rollback')) == 1


def test_a_push_that_was_killed_before_it_was_noted_is_noted_once(pets, two):
    folder = pets.push(pets.train({3: 'c'}), noted=False)
    assert read_history(pets.store, 'pets').live.destination != str(folder)

    for _ in range(2):
        note_pushes(pets.recipe, pets.store)

    live = read_history(pets.store, 'pets').live
    assert (live.destination, live.spans, live.run_id) == (str(folder), {3: 'c'}, 'run-1')
    assert len(pets.executions('Adopt')) == 3


def test_a_push_of_another_store_is_not_noted(pets, two):
    model = pets.train({3: 'c'})
    about = About(recipe='pets', model='/elsewhere', model_id=model.id)
    push(Path(model.uri) / 'Format-Serving', pets.serving, keep=9, about=about)

    note_pushes(pets.recipe, pets.store)

    assert len(read_history(pets.store, 'pets').pushes) == 2


def test_the_last_candidate_is_blessed_and_pushed_by_hand(pets, two):
    candidate = pets.train({3: 'c'}, blessed=False)

    pushed = bless(pets.recipe, pets.store, None, 'the test images were mislabelled')

    assert pets.graph() == f'graph of {candidate.id}'
    assert not pushed.unchanged
    assert blessed(pets, 2) == [1]
    about = read_note(pets.live()).about
    assert (about.by_hand, about.person, about.spans) == ('bless', 'ada', (3,))
    (execution,) = pets.executions('Bless')
    assert custom_property(execution, 'reason') == 'the test images were mislabelled'
    assert read_history(pets.store, 'pets').candidates[-1].pushed


@pytest.mark.parametrize('form', ['version', 'folder', 'model'])
def test_a_model_is_a_version_or_a_folder(pets, two, form):
    rollback(pets.recipe, pets.store, None, 'too many cats')
    given = {'version': two[1].name, 'folder': two[1], 'model': pets.recorder.models[1].uri}

    bless(pets.recipe, pets.store, str(given[form]), 'they were cats')

    assert pets.graph() == (two[1] / 'saved_model.pb').read_text()
    assert blessed(pets, 1) == [1]


def test_a_model_that_is_live_is_blessed_and_not_pushed_again(pets, two):
    unbless(pets.recipe, pets.store, None, 'too many cats')
    assert bless(pets.recipe, pets.store, two[1].name, 'no').unchanged
    assert versions_in(pets.serving) == two
    assert len(pets.executions('Bless')) == 1


@pytest.fixture
def with_lite(pets, tmp_path):
    """The live version has a file beside the Trainer's model."""
    (tmp_path / 'small.tflite').write_text('small')
    model = pets.train({3: 'c'})
    about = About(recipe='pets', model=model.uri, model_id=model.id)
    extra_files = {'small.tflite': tmp_path / 'small.tflite'}
    push(
        Path(model.uri) / 'Format-Serving',
        pets.serving,
        keep=9,
        about=about,
        extra_files=extra_files,
    )
    return pets.live()


def test_what_went_with_a_version_goes_with_it_when_it_is_blessed(pets, two, with_lite):
    assert bless(pets.recipe, pets.store, with_lite.name, 'still good').unchanged

    rollback(pets.recipe, pets.store, None, 'too many cats')
    again = bless(pets.recipe, pets.store, with_lite.name, 'they were cats')

    assert (again.folder / 'assets.extra' / 'small.tflite').read_text() == 'small'


def test_what_is_no_model_of_the_recipe_is_not_blessed(pets, two, tmp_path):
    with pytest.raises(ModelError, match=r'is no version and no model that pets has trained'):
        bless(pets.recipe, pets.store, str(tmp_path), 'why')


def test_a_model_that_nothing_has_judged_is_not_blessed(pets, two):
    model = pets.recorder.run({3: 'c'}, evaluated=False)
    with pytest.raises(ModelError, match=re.escape(f'{model.uri} was never judged')):
        bless(pets.recipe, pets.store, model.uri, 'why')


def test_an_empty_history_has_no_candidate(pets):
    with pytest.raises(ModelError, match='there is no candidate'):
        bless(pets.recipe, pets.store, None, 'why')


def test_a_blessing_is_withdrawn_and_the_model_stays_live(pets, two):
    assert unbless(pets.recipe, pets.store, None, 'too many cats') == (two[1], True)

    assert versions_in(pets.serving) == two
    assert (blessed(pets, 0), blessed(pets, 1)) == ([1], [0])
    (execution,) = pets.executions('Unbless')
    assert custom_property(execution, 'reason') == 'too many cats'


def test_an_earlier_model_loses_its_blessing_and_is_not_live(pets, two):
    assert unbless(pets.recipe, pets.store, two[0].name, 'why') == (two[0], False)


def test_a_version_of_somebody_has_no_blessing_to_lose(pets, two):
    (pets.serving / '9999999999').mkdir()
    with pytest.raises(ModelError, match='version 9999999999 was not pushed by pets'):
        unbless(pets.recipe, pets.store, None, 'why')


def test_the_files_of_a_blessing_say_the_same(pets, tmp_path):
    model = pets.train({1: 'a'})
    (blessing,) = blessings_of(pets.store, model.id)
    blessing.uri = str(tmp_path)
    (tmp_path / 'BLESSED').touch()
    pets.store.put_artifacts([blessing])
    pets.push(model)

    unbless(pets.recipe, pets.store, None, 'why')
    assert (tmp_path / 'NOT_BLESSED').exists()
    assert not (tmp_path / 'BLESSED').exists()


def test_a_word_that_cannot_be_read_is_told_and_can_be_said_again(pets, two, monkeypatch):
    monkeypatch.setattr('pipeline.metadata_store.existing_store', lambda *_: pets.store)
    damaged = Path(pets.recorder.models[0].uri) / 'by_hand.json'
    damaged.write_text('{')
    sentence = f'error: {damaged} is damaged: bless or unbless the model again\n'
    for command in (['models'], ['rollback', '--reason', 'why']):
        done = call(pets, *command)
        assert (done.exit_code, done.stderr) == (2, sentence)
    assert call(pets, 'unbless', two[0].name, '--reason', 'why').exit_code == 0
    assert call(pets, 'models').exit_code == 0


def test_a_user_without_a_name_is_a_number(monkeypatch):
    monkeypatch.setattr(interventions.getpass, 'getuser', lambda: {}['name'])
    assert interventions.person().isdigit()


def test_the_versions_are_listed_for_a_person(pets, two):
    rollback(pets.recipe, pets.store, None, 'too many [cats]')
    (pets.serving / '5').mkdir()
    console = Console(width=140)
    with console.capture() as capture:
        console.print(models.as_table(models.list_models(pets.recipe, pets.store)))
    lines = capture.get().splitlines()
    assert [line.split()[0] for line in lines[1:5]] == [
        each.name for each in reversed(versions_in(pets.serving))
    ]
    assert ['live' in line.split() for line in lines[1:5]] == [True, False, False, False]
    assert 'not from here' in lines[4]
    assert f'{pets.live().name}: rolled back to {two[0].name} by ada: too many [cats]' in lines
    assert f'{two[1].name}: its blessing was withdrawn by hand by ada: too many [cats]' in lines


def test_programs_get_the_versions_as_json(pets, two):
    values = json.loads(models.as_json(models.list_models(pets.recipe, pets.store)))
    assert [each['live'] for each in values] == [True, False]
    assert [each['spans'] for each in values] == [[1, 2], [1]]
    assert {each['accuracy'] for each in values} == {0.9}


def test_versions_are_listed_without_any_metadata(pets, two):
    (live, _) = models.list_models(pets.recipe, None)
    assert (live.live, live.accuracy, live.run) == (True, 0.9, 'run-1')


def call(pets, *arguments):
    workdir = ['--workdir', str(pets.recipe.workdir), '--set', 'name=pets']
    return click.testing.CliRunner().invoke(main, [*arguments, *workdir])


@pytest.mark.parametrize(
    ('command', 'sentence'),
    [
        (('bless',), 'this passes over the gate; add --force to do so'),
        (('bless', '--force'), '--reason is missing: say why, for those who ask later'),
        (('unbless', '--reason', ' '), '--reason is missing: say why, for those who ask later'),
        (('rollback',), '--reason is missing: say why, for those who ask later'),
    ],
)
def test_nothing_is_done_by_hand_without_a_reason(pets, command, sentence):
    done = call(pets, *command)
    assert (done.exit_code, done.stderr) == (2, f'error: {sentence}\n')


def test_nothing_is_done_where_nothing_has_run(pets):
    done = call(pets, 'rollback', '--reason', 'why')
    assert done.exit_code == 2
    assert done.stderr == f'error: no run of pets has left anything in {pets.recipe.home}\n'
    assert not pets.recipe.home.exists()
    assert call(pets, 'models').stdout == f'no version in {pets.serving}\n'


@pytest.mark.parametrize('command', [['rollback'], ['bless', '--force'], ['unbless']])
def test_nothing_is_done_by_hand_while_a_run_is_going_on(pets, two, monkeypatch, command):
    monkeypatch.setattr('pipeline.metadata_store.existing_store', lambda *_: pets.store)
    pets.recipe.home.mkdir(exist_ok=True)
    with filelock.FileLock(pets.recipe.home / '.lock'):
        done = call(pets, *command, '--reason', 'why')
    assert done.exit_code == 2
    assert done.stderr == f'error: another run of pets is going on in {pets.recipe.home}\n'
    assert versions_in(pets.serving) == two


def test_what_was_done_is_told(pets, two, monkeypatch):
    monkeypatch.setattr('pipeline.metadata_store.existing_store', lambda *_: pets.store)
    told = [
        call(pets, *command, '--reason', 'why').stdout
        for command in (['unbless'], ['rollback'], ['bless', two[1].name, '--force'])
    ]
    back, again = versions_in(pets.serving)[2:]
    assert told == [
        f'the blessing of {two[1].name} is withdrawn; its model stays live until a rollback\n',
        f'live: {back}\n',
        f'blessed; live: {again}\n',
    ]


@pytest.mark.parametrize('command', [['rollback'], ['unbless'], ['bless', '--force']])
def test_metadata_that_cannot_be_written_is_told(pets, two, monkeypatch, command):
    monkeypatch.setattr('pipeline.metadata_store.existing_store', lambda *_: pets.store)

    def refuse(*_):
        raise InternalError('attempt to write a readonly database')

    monkeypatch.setattr(type(pets.store), 'put_artifacts', refuse)
    done = call(pets, *command, '--reason', 'why')
    sentence = (
        'error: the metadata cannot be written: attempt to write a readonly database; '
        'the next run completes it\n'
    )
    assert (done.exit_code, done.stderr) == (1, sentence)


def test_a_model_that_is_blessed_and_cannot_be_pushed_is_both(pets, two, monkeypatch):
    pets.train({3: 'c'}, blessed=False)
    monkeypatch.setattr(Path, 'rename', lambda *_: (_ for _ in ()).throw(OSError(28, 'full')))
    with pytest.raises(
        PushError, match=r'No space .*; the model is blessed, and its run pushes it'
    ):
        bless(pets.recipe, pets.store, None, 'why')
    assert blessed(pets, 2) == [1]


def test_a_folder_that_cannot_be_written_is_told(pets, two, monkeypatch):
    monkeypatch.setattr('pipeline.metadata_store.existing_store', lambda *_: pets.store)
    monkeypatch.setattr(Path, 'rename', lambda *_: (_ for _ in ()).throw(OSError(28, 'full')))
    done = call(pets, 'rollback', '--reason', 'why')
    sentence = f'error: cannot push to {pets.serving}: No space left on device\n'
    assert (done.exit_code, done.stderr) == (1, sentence)
    assert versions_in(pets.serving) == two
    assert blessed(pets, 1) == [1]
