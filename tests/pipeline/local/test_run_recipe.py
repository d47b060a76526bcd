"""The lock of a local run, and its end if a component fails; only the components are replaced."""

import fcntl
import logging
import threading

import pytest
from example_record import PUSHED

from common.errors import NodeFailed, RunError
from pipeline.config.recipe import Recipe
from pipeline.local import run_recipe
from pipeline.run.record import RECIPE_LOCK, read_runs


@pytest.fixture
def recipe(tmp_path):
    return Recipe(name='pets', workdir=tmp_path)


@pytest.fixture
def run(recipe, monkeypatch):
    """`run(error, *ended)` runs a recipe of which a component raises an error after others."""

    def call(error, *ended):
        class Runner:
            def __init__(self, **_) -> None:
                self.run_id, self.results = 'run-7', {}

            def run(self, _) -> None:
                self.results.update(dict.fromkeys(ended))
                raise error

        monkeypatch.setattr('pipeline.local.runner.ProgressDagRunner', Runner)
        return run_recipe.run(recipe, verbose=True)

    monkeypatch.setattr(run_recipe, 'check', lambda *_, **__: (('cats', 'dogs'), 4))
    monkeypatch.setattr('pipeline.graph.create_pipeline', lambda *_, **__: None)
    outcome = {**PUSHED, 'warnings': ('drift',)}
    monkeypatch.setattr('pipeline.execution.outcome.read_outcome', lambda *_: outcome)
    monkeypatch.setattr(
        'pipeline.report.write.write_report', lambda *_: logging.warning('the report')
    )
    return call


def test_error_after_the_push_is_a_warning_of_the_run(run, recipe, caplog):
    ended = run(NodeFailed('FolderPredictor failed: no space'), 'Trainer', 'Pusher')

    assert read_runs(recipe.home) == [ended]
    assert (ended.result, ended.version, ended.exit_code) == ('blessed', '7', 0)
    assert ended.warnings == ('drift', 'FolderPredictor failed: no space')
    assert 'the report' in caplog.text


@pytest.mark.parametrize(
    ('ended', 'result', 'version'),
    [(('Trainer',), 'interrupted', None), (('Trainer', 'Pusher'), 'blessed', '7')],
)
def test_interrupt_after_the_push_does_not_hide_it(run, recipe, ended, result, version):
    with pytest.raises(KeyboardInterrupt):
        run(KeyboardInterrupt(), *ended)

    (recorded,) = read_runs(recipe.home)
    assert (recorded.result, recorded.version) == (result, version)


def test_error_before_the_push_fails_the_run(run, recipe):
    with pytest.raises(RunError):
        run(NodeFailed('Trainer failed: no space'), 'Transform')

    assert read_runs(recipe.home)[0].result == 'failed'


def test_run_waits_while_another_command_looks_at_the_lock(recipe):
    recipe.home.mkdir()
    with (recipe.home / RECIPE_LOCK).open('w') as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        end = threading.Timer(0.1, fcntl.flock, [looking, fcntl.LOCK_UN])
        end.start()
        with run_recipe.lock_recipe(recipe):
            end.join()
