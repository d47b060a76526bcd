"""A run that was made on the legacy stack and is continued on the stack of this test.

`make_stored_run.py` makes the run again, which is necessary after a change of the records' format,
of the schema or of the options of StatisticsGen.
"""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import click.testing
import pytest
from make_stored_run import ARCHIVE
from workspace import RUNNER

from common import stack
from common.metadata_queries import custom_property
from pipeline.config.metadata_config import MetadataConfig
from pipeline.metadata_store import open_store
from pipeline.run.record import read_runs
from pipeline_runner import main

pytestmark = pytest.mark.slow

# Nodes without a hash of the project's code in their cache key.
ONLY_TFX = ('ImportSchemaGen', 'StatisticsGen', 'ExampleValidator')


def unpack(folder: Path) -> Path:
    """Unpacks the stored run, the recipe and the images into a folder, which has to be current."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter='data')
    return folder


@pytest.fixture(scope='module')
def stored(tmp_path_factory):
    """The folder of the stored run, which no test changes."""
    return unpack(tmp_path_factory.mktemp('stored'))


@pytest.fixture(scope='module')
def continued(tmp_path_factory):
    """The folder where the next run is made."""
    return unpack(tmp_path_factory.mktemp('continued'))


@pytest.fixture
def in_stored(stored, monkeypatch):
    monkeypatch.chdir(stored)


@pytest.fixture
def in_continued(continued, next_run, monkeypatch):
    monkeypatch.chdir(continued)


def invoke(*words):
    """Calls a command; returns what it prints."""
    done = click.testing.CliRunner().invoke(main, [*words, '--config=squares.yaml'])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope='module')
def version(stored):
    """The version that the stored run pushed."""
    (model,) = stored.glob('squares/serving/[0-9]*')
    return model.name


@pytest.fixture(scope='module')
def stored_stack(stored):
    """Versions of TFX and TensorFlow in the stored run."""
    executions = open_store(MetadataConfig(), stored / 'squares').get_executions()
    (versions,) = {custom_property(each, 'stack') for each in executions} - {None}
    return versions


@pytest.fixture(scope='module')
def next_run(continued):
    """Record of the stored run; output and record of the next one, with a warm start."""
    changes = (
        'trainer.warm_start=live',
        'trainer.weights=random',
        'trainer.feature_extraction.epochs=1',
    )
    words = [sys.executable, RUNNER, 'run', '--verbose', '--config=squares.yaml']
    words += [f'--set={each}' for each in changes]
    done = subprocess.run(words, cwd=continued, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = read_runs(continued / 'squares')
    return before, done.stdout, after


@pytest.mark.usefixtures('in_stored')
def test_commands_read_the_stored_run(version):
    (model,) = json.loads(invoke('models', '--json'))

    assert (str(model['version']), model['live']) == (version, True)
    assert invoke('report', '--text').startswith('BLESSED: squares, ')
    assert f"version: '{version}'" in invoke('models', 'show', version)
    assert f'squares: version {version} is live' in invoke('runs')


@pytest.mark.usefixtures('in_stored')
def test_stored_model_predicts():
    lines = [json.loads(line) for line in invoke('predict', '--json', 'pets').splitlines()]

    correct = [Path(line['path']).parent.name == line['class'] for line in lines]
    assert len(correct) == 60
    assert sum(correct) >= 50


@pytest.mark.usefixtures('in_continued')
def test_next_run_starts_from_stored_model_and_is_compared_with_it(version, next_run):
    before, output, after = next_run

    assert 'warm start from the live model, /proc/self/cwd/squares/art' in output
    assert after.gate.comparison.reference == pytest.approx(before.accuracy, abs=0.1)
    assert after.blessed
    lineage = json.loads(invoke('models', 'show', after.version, '--json'))
    assert lineage['reference']['version'] == lineage['parents'][0]['version'] == version


def test_outputs_of_another_stack_are_not_reused(next_run, stored_stack):
    *_, after = next_run

    assert 'ImageExampleGen' in after.cached
    assert {name in after.cached for name in ONLY_TFX} == {stored_stack == stack.libraries()}


@pytest.mark.usefixtures('in_continued')
def test_rollback_makes_the_stored_model_live_again(version):
    invoke('models', 'rollback', version, '--reason', 'upgrade')

    live, *_ = json.loads(invoke('models', '--json'))
    assert str(live['note']['about']['version']) == version
