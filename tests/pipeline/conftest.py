import click.testing
import pytest
from metadata_recorder import Recorder

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
