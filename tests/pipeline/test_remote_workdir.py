"""Runs and models in object storage, as users see them on a machine without a volume."""

import json
import shutil
from pathlib import Path

import click.testing
import pytest
from example_record import record

from common.artifacts import folder_of, upload
from common.errors import DataError, ModelError, PushError
from common.features import FINE_TUNING_FILE
from common.manual_override import read_override
from common.mirror import uri_of
from components.image_example_gen.ingestion.checks import check_bad_share
from components.image_example_gen.ingestion.ingested import Tally
from components.image_example_gen.ingestion.quarantine import LIST
from components.pusher import bucket as bucket_module
from components.pusher.bucket import served_version
from components.pusher.serving_folder import (
    About,
    override_of,
    pushed_at,
    read_note,
    reference_of,
    versions_in,
)
from components.pusher.versions import push
from pipeline.config.recipe import Recipe
from pipeline.models import overrides
from pipeline.models.model_list import list_models
from pipeline.models.preparation import prepare_metadata
from pipeline.models.provenance import Provenance
from pipeline.report.store import page_of, reported_runs, store_report
from pipeline.report.write import summarize
from pipeline.run.record import LAST_TICK, find_run, read_runs, update_run, write_run
from pipeline.run.recording import Recording
from pipeline.run.run_list import homes_in
from pipeline_runner import main

GRAPH = 'saved_model.pb'
FILES = (GRAPH, 'variables/variables.index', 'variables/variables.data-00000-of-00001')


class Remote:
    """The recipe `pets` in a bucket; `elsewhere` removes all local copies."""

    def __init__(self, cache, bucket, recorder):
        self._cache, self.bucket, self.recorder = cache, bucket, recorder
        self.recipe = Recipe.model_validate({'name': 'pets', 'workdir': f'{bucket.url}/runs'})
        self.home, self.serving = self.recipe.home, self.recipe.serving_directory
        recorder.folder = uri_of(self.recipe.artifacts_directory / 'Trainer' / 'model')

    def train(self, spans):
        model = self.recorder.run(spans)
        for name in FILES:
            file = folder_of(model.uri) / 'Format-Serving' / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f'{name} of {model.id}')
        upload(model.uri)
        return model

    def push(self, model, reference=None, **values):
        about = About(recipe='pets', model=model.uri, accuracy=0.9, reference=reference)
        served = folder_of(model.uri) / 'Format-Serving'
        return push(served, self.serving, keep=3, about=about, **values)

    def elsewhere(self):
        shutil.rmtree(self._cache, ignore_errors=True)

    @property
    def provenance(self):
        return Provenance(self.recorder.store, 'pets')

    def graph(self, version):
        return self.bucket.read(f'runs/pets/serving/{version.name}/{GRAPH}').decode()


@pytest.fixture
def pets(tmp_path, s3_bucket, recorder, monkeypatch):
    cache = tmp_path / 'cache'
    monkeypatch.setenv('CATDOG_CACHE', str(cache))
    monkeypatch.setenv('LOGNAME', 'ada')
    return Remote(cache, s3_bucket, recorder)


@pytest.fixture
def two(pets):
    """Two pushed models."""
    models = [pets.train(spans) for spans in ({1: 'a'}, {1: 'a', 2: 'b'})]
    for model in models:
        pets.push(model)
    pets.elsewhere()
    return models


@pytest.fixture
def call(pets, monkeypatch):
    """Calls a command with the workdir in the bucket."""
    monkeypatch.setattr('pipeline.metadata_store.existing_store', lambda *_: pets.recorder.store)

    def run(command, *words):
        recipe = [] if command == 'runs' else ['--config=demo', '--set=name=pets']
        workdir = f'--workdir={uri_of(pets.recipe.workdir)}'
        return click.testing.CliRunner().invoke(main, [command, *recipe, workdir, *words])

    return run


def test_versions_are_listed_with_their_notes(pets, two):
    found = list_models(pets.recipe)
    assert [(each.live, each.note.about.model) for each in found] == [
        (True, two[1].uri),
        (False, two[0].uri),
    ]
    assert all(each.megabytes > 0 for each in found)
    assert found[0].folder.startswith(f'{pets.bucket.url}/runs/pets/serving/')


def test_unchanged_model_is_not_pushed_again(pets):
    model = pets.train({1: 'a'})
    assert not pets.push(model).unchanged
    shutil.rmtree(pets.serving, ignore_errors=True)
    assert pets.push(model).unchanged


def test_empty_bucket_is_listed_in_one_line(pets, call):
    assert call('models').stdout == f'no version in {pets.bucket.url}/runs/pets/serving\n'


def test_version_without_a_note_is_not_complete(pets, two):
    pets.bucket.put('runs/pets/serving/9999999999/saved_model.pb', 'unfinished')
    assert len(versions_in(pets.serving)) == 2


def test_rollback_copies_the_version_and_withdraws_the_blessing(pets, two):
    pushed = overrides.rollback(pets.recipe, pets.provenance, None, 'too many cats')
    pets.elsewhere()

    *_, replaced, live = versions_in(pets.serving)
    assert live == pushed.folder
    assert pets.graph(live) == f'{GRAPH} of {two[0].id}'
    assert read_note(live).about.person == 'ada'
    for place in (replaced / 'assets.extra', folder_of(two[1].uri)):
        assert not read_override(place).blessed
    assert override_of(live) is None
    (run,) = read_runs(pets.home)
    assert (run.kind, run.version) == ('rollback', live.name)


@pytest.mark.parametrize('given', [False, True])
def test_rollback_whose_version_is_not_served_yet_is_completed(pets, two, given):
    last = pets.train({3: 'c'})
    pets.push(last)
    pets.bucket.server.refuse = lambda method, path: method == 'PUT' and 'serving.config' in path
    with pytest.raises(PushError, match=r'is denied.*; the blessing of version .* is withdrawn'):
        overrides.rollback(pets.recipe, pets.provenance, None, 'too many cats')
    pets.bucket.server.refuse = lambda method, path: False
    bucket, live = pets.recipe.serving_bucket, versions_in(pets.serving)[-1]
    assert served_version(bucket) == int(versions_in(pets.serving)[-2].name)

    again = live.name if given else None
    pushed = overrides.rollback(pets.recipe, pets.provenance, again, 'too many cats')

    assert served_version(bucket) == int(pushed.folder.name)
    assert pets.graph(pushed.folder) == f'{GRAPH} of {two[1].id}'
    assert override_of(pushed.folder) is None
    with pytest.raises(ModelError, match='its model is live already'):
        overrides.rollback(pets.recipe, pets.provenance, pushed.folder.name, 'again')


def test_bless_pushes_the_model_of_a_run_again(pets, two):
    overrides.rollback(pets.recipe, pets.provenance, None, 'too many cats')
    pets.elsewhere()
    pushed = overrides.bless(pets.recipe, pets.provenance, 'run-2', 'they were cats', force=True)
    pets.elsewhere()
    assert pets.graph(pushed.folder) == f'{GRAPH} of {two[1].id}'
    assert read_override(folder_of(two[1].uri)).blessed


def test_version_that_was_incomplete_before_a_push_is_not_known_to_it(pets, monkeypatch):
    first, second = (pets.train({1: name}) for name in 'ab')
    write, number = bucket_module.write_version, []

    def second_completes_first(storage, folder, files, note):
        # The first push has taken its number. Now the second starts and ends.
        number.append(folder)
        pets.bucket.put(f'runs/pets/serving/{folder}/{GRAPH}', 'unfinished')
        monkeypatch.setattr(bucket_module, 'write_version', first_completes)
        with pytest.raises(PushError, match='went live meanwhile'):
            pets.push(second)
        raise PushError('stop here')

    def first_completes(storage, folder, files, note):
        pets.bucket.put(f'runs/pets/serving/{number[0]}/assets.extra/push.json', note)
        write(storage, folder, files, note)

    monkeypatch.setattr(bucket_module, 'write_version', second_completes_first)
    with pytest.raises(PushError, match='stop here'):
        pets.push(first)


def test_reference_is_found_without_a_local_copy(pets):
    first, second = (pets.train({1: name}) for name in 'ab')
    before = pets.push(first).folder
    live = pets.push(second, reference=int(before.name)).folder
    pets.elsewhere()
    assert reference_of(live) == before


def test_copied_version_has_the_time_of_its_note(pets, two):
    *_, last = versions_in(pets.serving)
    copy = last.with_name(str(int(last.name) + 5))
    folder = f'{pets.bucket.name}/runs/pets/serving'
    pets.bucket.storage.copy(f'{folder}/{last.name}', f'{folder}/{copy.name}', recursive=True)
    assert versions_in(pets.serving)[-1] == copy
    assert read_note(copy) is None
    assert pushed_at(copy) == read_note(last).pushed


def test_unfinished_upload_is_no_version(pets, two):
    before = versions_in(pets.serving)
    pets.bucket.put(f'runs/pets/serving/9999999999/{FINE_TUNING_FILE}', '{}')
    assert versions_in(pets.serving) == before


def test_new_metadata_skip_the_ids_of_artifacts_in_the_bucket(pets):
    pets.bucket.put('runs/pets/artifacts/Trainer/model/250/x')
    prepare_metadata(pets.recipe, pets.recorder.store)
    assert max(each.id for each in pets.recorder.store.get_executions()) >= 250


def test_records_are_written_read_and_replaced(pets):
    with Recording(pets.home, record(id='a', engine='kubeflow', result=None)) as recording:
        recording.add()
    pets.elsewhere()
    update_run(pets.home, 'a', lambda before: {'task': 'Trainer'})
    assert find_run(pets.home, 'a').task == 'Trainer'
    assert [run.id for run in read_runs(pets.home)] == ['a']
    assert find_run(pets.home, 'b') is None


def test_tick_without_reason_leaves_the_list_of_runs(pets):
    recording = Recording(pets.home, record(id='a', kind='tick', engine='kubeflow'))
    recording.add()
    recording.move_to_last_tick()
    assert pets.bucket.objects == {f'runs/pets/{LAST_TICK}'}


def test_homes_are_those_with_runs(pets):
    write_run(pets.home, record(id='a'))
    write_run(pets.home.with_name('flowers'), record(id='b'), LAST_TICK)
    pets.bucket.put('runs/other/artifacts/x')
    assert [home.name for home in homes_in(pets.recipe.workdir)] == ['flowers', 'pets']


def test_old_reports_are_removed_and_new_ones_downloaded(pets):
    for day, run in enumerate('abc', 1):
        run = record(id=run)
        write_run(pets.home, run.with_values(started=run.started.replace(day=day)))
        store_report(pets.home, run, f'page of {run.id}', keep=2)
    pets.elsewhere()
    assert [run.id for run in reported_runs(pets.home)] == ['b', 'c']
    assert page_of(pets.home, 'c').read_text() == 'page of c'
    store_report(pets.home, run, 'page of C', keep=2)
    pets.bucket.put(f'runs/pets/reports/{run.id}.html', 'page of D')
    assert page_of(pets.home, 'c').read_text() == 'page of D'


def test_page_has_quarantined_images_of_a_bucket(pets):
    place = folder_of(f'{uri_of(pets.recipe.artifacts_directory)}/ImageExampleGen/quarantine/3')
    listed = place / 'span-1' / LIST
    listed.parent.mkdir(parents=True)
    line = {'source': 'cats/a.jpg', 'reason': 'truncated', 'detail': 'it ends', 'number': '1'}
    listed.write_text(json.dumps(line | {'file': 'a.jpg', 'sha256': 'x'}))
    upload(uri_of(place))
    pets.elsewhere()
    (example,) = summarize([], [uri_of(listed), uri_of(place / 'span-2' / LIST)]).examples
    assert example['source'] == 'cats/a.jpg'


def test_refused_images_are_listed_in_the_bucket(pets):
    quarantine = pets.recipe.artifacts_directory / 'ImageExampleGen' / 'quarantine' / '3'
    (quarantine / 'span-1').mkdir(parents=True)
    (quarantine / 'span-1' / LIST).write_text('')
    with pytest.raises(DataError, match=f'all are listed in {pets.bucket.url}/'):
        check_bad_share({'span-1': Tally(seen=1, bad={'damaged': 1})}, 0.1, quarantine)
    assert {name.rpartition('refused/')[2] for name in pets.bucket.objects} == {LIST}


def test_commands_show_the_runs_of_a_bucket(pets, two, call):
    run = record(id='run-2', recipe='pets')
    write_run(pets.home, run)
    store_report(pets.home, run, 'the page', keep=2)
    pets.elsewhere()

    assert 'run-2' in call('runs').stdout
    assert 'live' in call('models').stdout
    page = Path(call('report', '--no-open').stdout.strip())
    assert page.read_text() == 'the page'


@pytest.mark.parametrize('words', [('show',), ('rollback', '--reason=x')])
def test_models_in_a_bucket_need_the_address_of_their_metadata(pets, two, words):
    options = ['--config=demo', '--set=name=pets', f'--workdir={uri_of(pets.recipe.workdir)}']
    done = click.testing.CliRunner().invoke(main, ['models', *words, *options])
    assert done.exit_code == 2
    assert '--set metadata.address=' in done.stderr


@pytest.mark.parametrize('name', ['push.json', 'override.json'])
def test_damaged_file_of_a_version_is_named_by_its_uri(pets, two, call, name):
    version = versions_in(pets.serving)[-1].name
    file = f'runs/pets/serving/{version}/assets.extra/{name}'
    pets.bucket.put(file, '{')
    done = call('models')
    assert (done.exit_code, f'{pets.bucket.url}/{file} is damaged' in done.stderr) == (2, True)


def test_unknown_bucket_has_no_list_of_runs(pets):
    words = ['runs', '--workdir=s3://no-such-bucket/x']
    assert click.testing.CliRunner().invoke(main, words).exit_code == 2


@pytest.mark.parametrize(
    'words',
    [['run'], ['schedule', '--cron=0 2 * * *'], ['serve'], ['clean'], ['export', '--to=onnx']],
)
def test_other_commands_need_a_folder(call, words):
    done = call(*words)
    assert done.exit_code == 2
    assert 'needs a folder on a disk or volume, not s3://' in done.stderr
