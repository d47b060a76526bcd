"""Commands that a run prints, for the same recipe."""

import pytest

from pipeline.command_line import CommandLine

LINE = CommandLine(
    program=('catdog-pipeline',),
    options=('--config=my.yaml', '--set=trainer.seed=1', '--data=pets', '--set=name=a b'),
)


@pytest.mark.parametrize(
    ('command', 'expected'),
    [
        (LINE.short('report'), "report --config=my.yaml '--set=name=a b'"),
        (
            LINE.short('models bless', '7', '--force'),
            "models bless --config=my.yaml '--set=name=a b' 7 --force",
        ),
        (
            LINE.command('run', '--if-new'),
            "run --config=my.yaml --set=trainer.seed=1 --data=pets '--set=name=a b' --if-new",
        ),
    ],
)
def test_commands_have_the_options_that_they_need(command, expected):
    assert command == f'catdog-pipeline {expected}'
