import click.testing
import pytest

from pipeline_runner import main


@pytest.fixture
def call(tmp_path):
    """`call('runs', '--json')` calls a command on the runs of the recipe `pets` in `tmp_path`."""

    def invoke(*words):
        options = ['--workdir', str(tmp_path)]
        if words[0] != 'runs':
            options.append('--set=name=pets')
        return click.testing.CliRunner().invoke(main, [*map(str, words), *options])

    return invoke
