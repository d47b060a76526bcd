import click.testing
import pytest
from metadata_recorder import Recorder

from pipeline.config import recipe
from pipeline_runner import main


@pytest.fixture
def recorder() -> Recorder:
    """Records runs in ML Metadata."""
    return Recorder()


@pytest.fixture
def invoke(tmp_path):
    """`invoke('why', '--json')` calls a command with the recipe `pets` and workdir `tmp_path`."""

    def call(*words: str) -> click.testing.Result:
        options = ['--config', 'demo', '--set', 'name=pets', '--workdir', str(tmp_path)]
        return click.testing.CliRunner().invoke(main, [*words, *options])

    return call


@pytest.fixture(autouse=True)
def _runs_of_shipped_recipes_in_tmp_path(tmp_path, monkeypatch):
    """Tests leave no runs of `demo` in the checkout."""
    monkeypatch.setattr(recipe, 'shipped_folder', lambda: tmp_path)
