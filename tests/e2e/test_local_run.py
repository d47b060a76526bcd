"""Local runs through the command line, from an archive at a URL with secrets to a pushed model."""

import functools
import http.server
import json
import re
import shutil
import stat
import subprocess
import threading

import click.testing
import pytest
from odd_images import bad_files
from workspace import QUICK_RECIPE, Workspace

from common.redaction import redacted
from components.evaluation.config import SLICED_BY
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.results import LEAST_CLASSES, METRICS
from pipeline.run.record import Run, read_runs
from pipeline_runner import main

pytestmark = pytest.mark.timeout(600)  # a fixture is a whole run

SECRET = 'hunter2hunter2'
RECIPE = """
data:
  checks: {max_bad_share: 0.15}
evaluation:
  minimum: 0.6  # far below what a training on squares reaches, above a constant
"""
NEVER_CACHED = (
    'NewestSpans',
    'PreviousStatistics',
    'ReferenceResolver',
    'Pusher',
)


def invoke(workspace: Workspace, command: str, *options: str) -> str:
    """Calls a command in this process; returns what it prints."""
    recipe = ['--config', str(workspace.recipe), '--workdir', str(workspace.runs.parent)]
    done = click.testing.CliRunner().invoke(main, [command, *recipe, *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def accuracy_of(done: subprocess.CompletedProcess[str]) -> str:
    """The line with the accuracy; warnings may be printed after it."""
    return next(each for each in done.stdout.splitlines() if each.startswith('test accuracy'))


def last_run(workspace: Workspace) -> Run:
    return read_runs(workspace.runs)[-1]


@pytest.fixture(scope='module')
def url(tmp_path_factory):
    """A folder, and a URL with a password and a token of the file `served/pets.zip` in it."""
    folder = tmp_path_factory.mktemp('e2e')

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=folder / 'served')
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        host = f'127.0.0.1:{server.server_port}'
        yield folder, f'http://ada:{SECRET}@{host}/pets.zip?token={SECRET}#{SECRET}'
        server.shutdown()


@pytest.fixture(scope='module')
def workspace(url, make_image_folder):
    """Images with a bad file of each kind, one with contradictory labels, and a duplicate."""
    folder, address = url
    pets = make_image_folder(folder / 'pets', per_class=80)
    for name, (contents, _) in bad_files().items():
        (pets / 'cats' / name).write_bytes(contents)
    shutil.copy(pets / 'dogs' / 'dogs-0-0.jpg', pets / 'cats' / 'a dog.jpg')
    shutil.copy(pets / 'dogs' / 'dogs-0-1.jpg', pets / 'dogs' / 'again.jpg')
    shutil.make_archive(str(folder / 'served' / 'pets'), 'zip', pets)
    return Workspace(folder, address, RECIPE, QUICK_RECIPE)


@pytest.fixture(scope='module')
def rejected(workspace):
    """The first run, with a limit that no model meets; the gate decision."""
    done = workspace.call('run', '--set', 'evaluation.max_megabytes=0.001')
    return done, last_run(workspace)


@pytest.fixture(scope='module')
def first(workspace, rejected):
    """The first run that blesses, and the model that it pushed."""
    done = workspace.call('run')
    assert done.returncode == 0, done.stdout + done.stderr
    (model,) = workspace.versions()
    return done, model


def test_model_that_breaks_a_rule_is_not_pushed(workspace, rejected):
    done, run = rejected
    assert done.returncode == 3, done.stdout + done.stderr
    assert 'no reference model' in accuracy_of(done)
    assert (run.result, len(run.reasons)) == ('not blessed', 1)
    assert done.stdout.splitlines()[-1] == f'NOT BLESSED: {run.reasons[0]}'
    assert run.reasons[0] in invoke(workspace, 'report', run.id, '--text')


def test_secrets_are_in_no_output_and_no_file_and_files_follow_the_umask(
    url, workspace, rejected, first
):
    printed = [done.stdout + done.stderr for done in (rejected[0], first[0])]
    for folder in (workspace.runs, workspace.cache):
        files = [path for path in folder.rglob('*') if path.is_file()]
        assert files
        assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
        assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in files} == {0}
    assert SECRET not in ''.join(printed)
    shown = redacted(url[1]).encode()  # the test would find the secrets if they were not replaced
    assert shown in (workspace.runs / 'metadata.sqlite').read_bytes()
    assert any(shown in page.read_bytes() for page in workspace.runs.glob('reports/*'))


def test_library_output_goes_to_the_log_only(workspace, rejected):
    done, _ = rejected
    assert done.stderr == ''
    assert not re.search('tensorflow|WARNING|absl|Traceback', done.stdout)
    log = min(workspace.runs.glob('logs/*.log'))
    assert re.search(r'tensorflow|apache_beam|absl', log.read_text())


def test_bad_images_are_quarantined_with_reason(workspace, first):
    folder = 'artifacts/ImageExampleGen/quarantine/*/span-1'
    (list_file,) = workspace.runs.glob(f'{folder}/quarantined.jsonl')
    lines = {line['source']: line for line in map(json.loads, list_file.read_text().splitlines())}
    expected = {f'cats/{name}': reason for name, (_, reason) in bad_files().items()}
    expected |= {'cats/a dog.jpg': 'under two labels', 'dogs/dogs-0-0.jpg': 'under two labels'}
    assert {name: line['reason'] for name, line in lines.items()} == expected


def test_console_and_summary_report_the_used_images(workspace, first):
    bad = len(bad_files()) + 2
    run = last_run(workspace)
    assert (run.images, run.left_out['duplicate']) == (159, 1)
    assert sum(run.left_out.values()) == bad + 1
    assert f'{bad + 1} of {160 + bad} images are left out: ' in first[0].stdout


def test_run_ends_with_the_decision(workspace, first):
    done, model = first
    line = r'test accuracy (0\.\d+|1\.0+) \(n=\d+, minimum 0\.6000, no refer'
    assert re.match(line, accuracy_of(done))
    assert done.stdout.splitlines()[-1] == f'BLESSED and pushed to {model}'


def test_a_run_prints_a_line_for_each_phase(rejected):
    lines = rejected[0].stdout.splitlines()
    phases = [each.split()[0] for each in lines if re.search(r'^\w+ (done|cached)', each)]
    assert sorted(phases) == ['checks', 'data', 'decision', 'evaluation', 'training']
    assert not any(each.startswith(('Trainer', '  ')) and '...' in each for each in lines)


def test_run_deletes_its_activation_cache(workspace, first):
    assert not list(workspace.runs.rglob('*.records'))


def test_evaluator_uses_the_test_split_only(workspace, first):
    (manifest,) = workspace.runs.glob('artifacts/ImageExampleGen/examples/*/span-1/manifest.json')
    counts = json.loads(manifest.read_text())['counts']['test']
    evaluations = workspace.runs.glob('artifacts/Evaluator/evaluation/*')
    evaluation = max(evaluations, key=lambda folder: int(folder.name))
    found = read_evaluation(evaluation, ('cats', 'dogs'), 0.5).candidate
    assert found.overall.images == sum(counts.values())
    assert set(found.overall.metrics) == set(METRICS) - set(LEAST_CLASSES)
    assert {each.feature for each in found.slices} == {'', *SLICED_BY} - {'source'}  # one folder


@pytest.fixture(scope='module')
def second(workspace, first):
    return workspace.call('run')


def test_identical_run_is_fully_cached_and_pushes_nothing(second, first, workspace):
    assert second.returncode == 0
    run = last_run(workspace)
    assert set(run.nodes) - set(run.cached) <= set(NEVER_CACHED)
    assert 'BLESSED, unchanged, in' in second.stdout
    assert workspace.versions() == [first[1]]


def test_all_runs_are_listed_and_trainings_have_event_files(workspace, second):
    runs = json.loads(invoke(workspace, 'runs', '--json'))

    results = [each['result'] for each in runs]
    assert results == ['blessed', 'blessed', 'not blessed']
    (version,) = workspace.versions()
    assert [each['version'] for each in runs] == [version.name, version.name, None]
    events = workspace.runs.glob('artifacts/Trainer/model_run/*/tensorboard/*/*/events.*')
    assert len([*events]) == 2  # train and validation; the Trainer was cached later


def test_reports_show_the_state_at_the_end_of_their_runs(workspace, second):
    pages = sorted((workspace.runs / 'reports').glob('*.html'))
    rejected, earlier, last = (page.read_text() for page in pages)
    (version,) = workspace.versions()

    assert (workspace.runs / 'last_run.html').read_text() == last
    assert '<p class="word">Not live</p>' in rejected
    for page in (earlier, last):  # at the end of its run
        assert '<p class="word">Live</p>' in page
    assert f'as version <b>{version.name}</b>' in last
    for page in (earlier, last):
        assert page.count('src="data:image/jpeg') >= 12  # samples
    assert 'unchanged by this run' in last
    assert '<td>not an image</td>' in earlier


def test_other_classes_do_not_replace_the_live_model(workspace, second, tmp_path):
    """A stray folder with an image of a third class."""
    pets = shutil.copytree(workspace.runs.parents[1] / 'pets', tmp_path / 'pets')
    (pets / 'birds').mkdir()
    shutil.copy(pets / 'dogs' / 'dogs-0-2.jpg', pets / 'birds')

    copied = workspace.copy(tmp_path)

    done = copied.call('run', '--data', str(pets))

    assert done.returncode == 2
    *_, error = done.stderr.splitlines()
    assert '3 classes (birds, cats, dogs), but the live model has 2 classes (cats, dogs)' in error
    assert 'set data.classes: ["cats", "dogs"] to keep those and quarantine other images' in error
    assert len(copied.versions()) == 1
