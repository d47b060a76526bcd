"""Commands that a run prints, for the same recipe."""

import pytest

from pipeline.command_line import CommandLine


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        (['report'], 'catdog-pipeline report --config=pets --set=a.b=0.5 --set=a.bc=1'),
        (
            ['run', '--set=a.b=0.08'],
            'catdog-pipeline run --config=pets --set=a.bc=1 --set=a.b=0.08',
        ),
    ],
)
def test_key_is_set_once(words, expected):
    line = CommandLine(
        program=('catdog-pipeline',), options=('--config=pets', '--set=a.b=0.5', '--set=a.bc=1')
    )
    assert line.command(*words) == expected


def test_short_command_has_only_what_chooses_the_runs():
    options = ('--config=my.yaml', '--set=trainer.seed=1', '--data=pets', '--set=name=a b')
    line = CommandLine(program=('catdog-pipeline',), options=options)
    assert line.short('report') == "catdog-pipeline report --config=my.yaml '--set=name=a b'"
