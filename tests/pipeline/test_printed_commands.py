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
            LINE.accept({}, '7'),
            "models bless --config=my.yaml '--set=name=a b' 7 --force --reason TEXT",
        ),
        (
            LINE.accept({'a.b': 0.05}, warm_start=True),
            "run --config=my.yaml --set=trainer.seed=1 --data=pets '--set=name=a b' "
            '--set=trainer.warm_start=latest_blessed --set=a.b=0.05',
        ),
    ],
)
def test_commands_have_the_options_that_they_need(command, expected):
    assert command == f'catdog-pipeline {expected}'


def test_no_key_accepts_a_model_without_settings():
    assert LINE.accept({}) is None
