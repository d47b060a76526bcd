"""Whole runs, from a folder of images to a pushed model, as a person starts them."""

import functools
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click.testing
import pytest
import tensorflow as tf
from odd_images import bad_files

from common import features
from components.evaluation.config import SLICED_BY
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.results import METRICS
from pipeline_runner import main

REPOSITORY = Path(__file__).parents[2]
RECIPE = """
description: bright and dark squares
data:
  checks: {animated: refuse, max_bad_share: 0.15}
trainer:
  image_size: 32
  alpha: 0.35
  weights: random
  batch_size: 16
  feature_extraction: {epochs: 0}
  fine_tune: {from_layer: 0, batch_norm: train, epochs: 12, learning_rate: 0.01, schedule: cosine}
evaluation:
  baseline_accuracy: 0.9
"""
COMPONENTS = [
    'ImageExampleGen',
    'ImportSchemaGen',
    'StatisticsGen',
    'ExampleValidator',
    'PreviousStatistics',
    'AnomalyGate',
    'Transform',
    'Trainer',
    'BaselineResolver',
    'Evaluator',
    'RobustnessEvaluator',
    'ServingCheck',
    'ModelGate',
    'Pusher',
]
LOOKING = ('PreviousStatistics', 'BaselineResolver', 'Pusher')  # these look each time


class Home:
    """A recipe, its images, and the runs that are made of them."""

    def __init__(self, folder: Path, images: Path) -> None:
        self.recipe = folder / 'squares.yaml'
        self.recipe.write_text(RECIPE)
        self.runs = folder / 'runs' / 'squares'
        self.options = [
            '--config',
            self.recipe,
            '--data',
            images,
            '--workdir',
            folder / 'runs',
        ]
        self._command = [sys.executable, REPOSITORY / 'pipeline_runner.py', 'run', *self.options]

    def start(self, *options: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*self._command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, 'PYTHONUNBUFFERED': '1'},
            # Tests that run in the background of a script ignore it, and so would their children.
            preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *options: str) -> subprocess.CompletedProcess:
        process = self.start(*options)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def pushed(self) -> list[Path]:
        return sorted(self.runs.glob('serving/[0-9]*'))

    def summary(self) -> dict:
        return json.loads((self.runs / 'last_run.json').read_text())


@pytest.fixture(scope='module')
def home(tmp_path_factory, make_image_folder):
    """Images with one bad file of each kind among them, one under two labels, and a copy."""
    folder = tmp_path_factory.mktemp('e2e')
    pets = make_image_folder(folder / 'pets', per_class=80)
    for name, (contents, _) in bad_files(animated=True).items():
        (pets / 'cats' / name).write_bytes(contents)
    shutil.copy(pets / 'dogs' / 'dogs-0-0.jpg', pets / 'cats' / 'a dog.jpg')
    shutil.copy(pets / 'dogs' / 'dogs-0-1.jpg', pets / 'dogs' / 'again.jpg')
    return Home(folder, pets)


@pytest.fixture(scope='module')
def interrupted(home):
    """A first run that a person stops while the Trainer works."""
    process = home.start()
    for line in process.stdout:
        if line.startswith('Trainer ...'):
            process.send_signal(signal.SIGINT)
            break
    _, error = process.communicate(timeout=60)
    return process.returncode, error


@pytest.fixture(scope='module')
def first(home, interrupted):
    """The run after it, and what it pushed."""
    done = home.run()
    assert done.returncode == 0, done.stdout + done.stderr
    (model,) = home.pushed()
    return done, model


def test_an_interrupted_run_says_so_in_one_line(interrupted):
    code, error = interrupted
    assert code == 130
    assert error == 'error: interrupted; run the same command again to continue\n'


def test_the_next_run_takes_up_what_was_finished(first):
    cached = re.findall(r'^(\w+) cached$', first[0].stdout, re.MULTILINE)
    before = COMPONENTS[: COMPONENTS.index('Trainer')]
    assert sorted(cached) == sorted(name for name in before if name not in LOOKING)


def test_prints_the_end_of_every_component(first):
    shown = re.findall(r'^(\w+) (?:cached|done(?: in [\d.]+ s)?)$', first[0].stdout, re.MULTILINE)
    assert sorted(shown) == sorted(COMPONENTS)


def test_nothing_of_the_libraries_reaches_the_person(first):
    done, _ = first
    assert done.stderr == ''
    assert not re.search('tensorflow|WARNING|absl|Traceback', done.stdout)


def test_the_library_output_is_in_the_log(home, first):
    logs = sorted(home.runs.glob('logs/*.log'))
    assert re.search(r'tensorflow|apache_beam|absl', logs[-1].read_text())


def test_each_bad_image_is_listed_with_its_reason_and_a_copy(home, first):
    (list_file,) = home.runs.glob('artifacts/ImageExampleGen/quarantine/*/span-1/quarantined.jsonl')
    lines = {line['source']: line for line in map(json.loads, list_file.read_text().splitlines())}
    expected = {f'cats/{name}': reason for name, (_, reason) in bad_files(animated=True).items()}
    expected |= {'cats/a dog.jpg': 'under two labels', 'dogs/dogs-0-0.jpg': 'under two labels'}
    assert {name: line['reason'] for name, line in lines.items()} == expected
    for name, line in lines.items():
        if line['bytes']:
            copy = list_file.parent / line['copy']
            assert hashlib.sha256(copy.read_bytes()).hexdigest() == line['sha256'], name


def test_the_person_and_the_summary_are_told_how_many_images_were_used(home, first):
    bad = len(bad_files(animated=True)) + 2
    tally = home.summary()['images']['tally']
    assert (tally['seen'], tally['duplicates']) == (162 + bad - 2, 1)
    assert sum(tally['bad'].values()) == bad
    assert f'159 of {160 + bad} images used; {bad} quarantined (' in first[0].stdout
    assert '1 duplicate skipped' in first[0].stdout


def test_run_ends_with_decision_and_next_command(home, first):
    done, model = first
    accuracy, verdict, hint = done.stdout.splitlines()[-3:]
    assert re.match(r'test accuracy (0\.9\d+|1\.0+) \(threshold 0\.9000, no previous', accuracy)
    assert verdict == f'BLESSED and pushed to {model}'
    files = f'--config {home.recipe} --workdir {home.runs.parent}'
    assert hint.endswith(f'pipeline_runner.py report {files} (or predict IMAGE)')


def test_output_to_pipe_has_no_control_characters(first):
    assert all(line.isprintable() for line in first[0].stdout.splitlines())


def test_no_cache_of_activations_is_left_behind(home, first):
    assert not list(home.runs.rglob('*.records'))


def test_both_signatures_of_the_pushed_model_give_the_same_answers(home, first):
    model = tf.saved_model.load(str(first[1]))
    records = sorted(home.runs.glob('artifacts/ImageExampleGen/examples/*/span-1/Split-train/*'))
    serialized = [record.numpy() for record in tf.data.TFRecordDataset(records[0]).take(8)]
    images = [
        tf.train.Example.FromString(each).features.feature[features.IMAGE_BYTES].bytes_list.value[0]
        for each in serialized
    ]
    by_example = model.signatures['serving_default'](tf.constant(serialized))
    by_image = model.signatures['serve_images'](tf.constant(images))
    assert set(by_example) == {'probability', 'class', 'logit'}
    for key in by_example:
        assert by_example[key].shape == (8, 1)
        assert by_example[key].numpy().tolist() == by_image[key].numpy().tolist()
    likely = [b'dogs' if p > 0.5 else b'cats' for p in by_example['probability'].numpy().ravel()]
    assert by_example['class'].numpy().ravel().tolist() == likely


def test_the_evaluator_judged_the_test_split_alone(home, first):
    (manifest,) = home.runs.glob('artifacts/ImageExampleGen/examples/*/span-1/manifest.json')
    counts = json.loads(manifest.read_text())['counts']['test']
    (evaluation,) = home.runs.glob('artifacts/Evaluator/evaluation/*')
    found = read_evaluation(evaluation, ('cats', 'dogs'), 0.5).candidate
    assert found.overall.images == sum(counts.values())
    assert set(found.overall.metrics) == set(METRICS)
    assert {each.feature for each in found.slices} == {'', *SLICED_BY} - {'source'}  # one folder


@pytest.fixture(scope='module')
def second(home, first):
    return home.run()


def test_an_identical_run_is_cached_to_its_end(second, home):
    assert second.returncode == 0
    assert all(
        each['cached'] for name, each in home.summary()['components'].items() if name not in LOOKING
    )
    assert 'BLESSED, unchanged; live in' in second.stdout


def test_an_identical_run_pushes_nothing(second, first, home):
    assert home.pushed() == [first[1]]


def test_each_run_has_a_page_and_two_are_set_side_by_side(home, second):
    pages = sorted((home.runs / 'reports').glob('*.html'))
    earlier, last = (page.read_text() for page in pages)
    (version,) = home.pushed()

    assert (home.runs / 'last_run.html').read_text() == last
    for page in (earlier, last):
        assert '<p class="word">Live</p>' in page
        assert f'as version <b>{version.name}</b>' in page
        assert page.count('src="data:image/jpeg') >= 12  # samples
    assert 'unchanged by this run' in last
    assert '<td>not an image</td>' in earlier
    files = ['--config', home.recipe, '--workdir', home.runs.parent]
    command = ['report', *map(str, files), '--no-open', '--compare', 'previous', 'last']
    done = click.testing.CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert 'Both runs have the same recipe.' in Path(done.stdout.strip()).read_text()


def test_a_model_below_the_baseline_is_not_blessed_and_not_pushed(home, second, first):
    done = home.run(
        '--set', 'evaluation.baseline_accuracy=1.0', '--set', 'trainer.fine_tune.epochs=1'
    )
    assert done.returncode == 3, done.stdout
    accuracy, reason, hint = done.stdout.splitlines()[-3:]
    assert re.match(r'NOT BLESSED: .*accuracy 0\.\d+, baseline 1\.00 \(n=\d+\)', reason)
    assert 'previous model' in accuracy
    assert ' why --config ' in hint
    assert home.pushed() == [first[1]]
    told = why(home)
    assert told['blessed'] is False
    assert told['baseline_version'] == first[1].name
    objections = [each['reason'] for each in told['verdict']['rulings'] if each['passed'] is False]
    assert reason == f'NOT BLESSED: {"; ".join(objections)}'


def why(home: Home) -> dict:
    command = [sys.executable, REPOSITORY / 'pipeline_runner.py', 'why', '--json', *home.options]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def test_what_is_wrong_with_the_data_stops_the_run_before_transform(tmp_path, make_image_folder):
    make_image_folder(tmp_path / 'pets' / 'train', per_class=130)
    make_image_folder(tmp_path / 'pets' / 'validation', per_class=130, seed=1)
    for number in range(110):
        (tmp_path / f'pets/validation/dogs/dogs-1-{number}.jpg').unlink()
    done = Home(tmp_path, tmp_path / 'pets').run(
        '--set',
        'validation.on_skew=stop',
        '--set',
        'validation.min_images=20',
        '--set',
        'data.splits.test_of_validation=0.5',
    )
    assert done.returncode == 1
    assert 'Transform' not in done.stdout
    (line,) = done.stderr.splitlines()
    sentence = r'error: AnomalyGate failed: class balance of eval differs from train by 0\.3\d '
    assert re.match(sentence + r'\(limit 0\.1\)', line)
    assert re.search(r'the log is \S+\.log$', line)
