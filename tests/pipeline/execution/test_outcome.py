"""The printed record of a run."""

import sys

import pytest
from example_record import PASSED, record

from common import console
from common.features import FINE_TUNING_FILE
from components.evaluation.results import Comparison
from pipeline.execution.outcome import _read_fine_tuning, show_run
from trainer.results import FineTuningChoice

COMPARED = Comparison(
    outcome='worse', images=400, better=0, worse=6, candidate=0.98, reference=0.995, low=-1, high=-1
)
REJECTED = {
    'result': 'not blessed',
    'reasons': ('too [bold]low', 'b'),
    'gate': PASSED.model_copy(
        update={'value': 0.98, 'comparison': COMPARED, 'remarks': ('never predicted: owls',)}
    ),
}


@pytest.fixture
def printed(capsys):
    """`printed(**changes)`: the lines that `show_run` prints of a run that pushed its model."""

    def show(**changes):
        with console.output_to(sys.stdout):
            show_run(record(**changes))
        return capsys.readouterr().out.splitlines()

    return show


def test_prints_times_findings_accuracy_and_decision(printed):
    changes = {'images': 2000, 'left_out': {'empty': 2}, 'warnings': ('width of [b] moved',)}
    assert printed(nodes={'Trainer': 50.0, 'Pusher': 0.1}, cached=('Pusher',), **changes) == [
        '60.0 s, 1 of 2 components cached',
        'warning: 2 of 2,002 images are left out: 2 empty',
        'warning: width of [b] moved',
        'test accuracy 0.9500 (n=400, minimum 0.9000, no reference model)',
        'BLESSED and pushed to /serving/7',
    ]


@pytest.mark.parametrize(
    ('changes', 'lines'),
    [
        ({'unchanged': True}, ['BLESSED, unchanged, in /serving/7']),
        ({'live_version': '8'}, ['BLESSED and pushed to /serving/7, but the live version is 8']),
        (
            {
                'gate': PASSED.model_copy(update={'value': None}),
                'manual_override': 'blessed by eve',
            },
            [
                'test accuracy undefined (n=400, minimum 0.9000, no reference model)',
                'blessed by eve',
                'BLESSED and pushed to /serving/7',
            ],
        ),
        (
            REJECTED,
            [
                'test accuracy 0.9800 (n=400, minimum 0.9000, reference model 0.9950); '
                'no images got better, 6 worse',
                'warning: never predicted: owls',
                'NOT BLESSED: too [bold]low; b',
            ],
        ),
        ({**REJECTED, 'manual_override': 'withdrawn by eve'}, ['NOT BLESSED: too [bold]low; b']),
    ],
)
def test_last_lines_are_the_decision(changes, lines, printed):
    assert printed(**changes)[-len(lines) :] == lines


def test_quiet_run_prints_at_most_five_findings_and_the_decision(printed):
    with console.quiet():
        lines = printed(warnings=[f'finding {n}' for n in range(7)], left_out={'empty': 1})
    assert 'images are left out' in lines[0]
    assert lines[4:] == [
        'warning: finding 3',
        'warning: 3 more warnings are in the report',
        'BLESSED and pushed to /serving/7',
    ]


@pytest.mark.parametrize('reason', ['trains from block 6 on', None])
def test_reads_the_choice_of_the_trainer_from_the_model(tmp_path, reason):
    if reason:
        file = tmp_path / FINE_TUNING_FILE
        file.parent.mkdir()
        choice = FineTuningChoice(basis={}, values={'epochs': 8}, reason=reason)
        file.write_text(choice.model_dump_json())

    assert _read_fine_tuning(tmp_path) == reason
