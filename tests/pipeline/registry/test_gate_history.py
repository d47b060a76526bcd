"""The `why` command: the latest gate decision and its manual override."""

import json

import click.testing
import pytest

from common.blessing import OVERRIDE_FILE, ManualOverride, write_override
from components.evaluation.gate.verdict import VERDICT_FILE, Ruling, Verdict, write_verdict
from pipeline_runner import main

DARK = 'accuracy on dark images 0.883, floor 0.90 (n=212)'
YES = Verdict(rulings=(Ruling(rule='baseline', passed=True, reason='accuracy 0.950, base'),))
NO = Verdict(
    rulings=(
        *YES.rulings,
        Ruling(rule='floor', passed=False, reason=DARK),
        Ruling(rule='drop', passed=None, reason='there is [b]nothing to compare'),
    )
)


class History:
    """Gate decisions and pushes in ML Metadata."""

    def __init__(self, folder, recorder) -> None:
        self.folder = folder
        self.recorder = recorder
        self._runs = 0

    def evaluate(self, name, verdict, baseline=None):
        """Records the gate decision on a new model."""
        self._runs += 1
        (self.folder / name).mkdir()
        model = self.recorder.artifact('Model', uri=str(self.folder / name))
        folder = self.folder / f'verdict-{self._runs}'
        write_verdict(verdict, folder)
        result = self.recorder.artifact('Verdict', uri=str(folder))
        self.recorder.execution(
            'components.evaluation.gate.component.ModelGate',
            {'model': [model], 'baseline_model': [baseline] if baseline else []},
            {'verdict': [result]},
            [self.recorder.pipeline, self.recorder.context('pipeline_run', f'run-{self._runs}')],
        )
        return model

    def push(self, model, version):
        properties = {'pushed': 1, 'pushed_version': version, 'pushed_destination': f'/{version}'}
        pushed = self.recorder.artifact('PushedModel', **properties)
        inputs, outputs = {'model': [model]}, {'pushed_model': [pushed]}
        self.recorder.execution(
            'components.pusher.component.Pusher', inputs, outputs, [self.recorder.pipeline]
        )


@pytest.fixture
def history(tmp_path, recorder, monkeypatch):
    """Commands use this metadata."""
    monkeypatch.setattr('pipeline.metadata_store.existing_store', lambda *_: recorder.store)
    return History(tmp_path, recorder)


@pytest.fixture
def why(tmp_path):
    def call(*arguments):
        options = ['--set', 'name=pets', '--workdir', str(tmp_path)]
        return click.testing.CliRunner().invoke(main, ['why', *options, *arguments])

    return call


def lines(done):
    assert (done.exit_code, done.stderr) == (0, '')
    return [line.rstrip() for line in done.stdout.splitlines()]


def test_prints_one_line_per_rule(history, why):
    history.evaluate('first', NO)

    verdict, *text = lines(why())

    assert verdict.startswith('NOT BLESSED: the model of run run-1, ')
    assert text == [
        f'model: {history.folder}/first',
        'compared with: no previous blessed model',
        '',
        'passed   accuracy 0.950, base',
        f'failed   {DARK}',
        'no vote  there is [b]nothing to compare',
    ]


def test_prints_latest_decision_with_versions(history, why):
    first = history.evaluate('first', NO)
    history.push(first, '7')
    history.push(history.evaluate('second', YES, baseline=first), '9')

    verdict, model, baseline = lines(why())[:3]

    assert verdict.startswith('BLESSED: ')
    assert model == f'model: {history.folder}/second (version 9)'
    assert baseline == f'compared with: {history.folder}/first (version 7)'


def test_manual_override_has_precedence(history, why):
    history.evaluate('first', NO)
    values = {'reason': 'dark ones are rare', 'moment': '2026-11-21T09:30Z'}
    override = ManualOverride(blessed=True, person='eve', **values)
    write_override(history.folder / 'first', override)

    text = lines(why())

    assert text[0].startswith('BLESSED: ')
    assert f'failed   {DARK}' in text
    assert text[-2:] == [
        'manual override (the rules reject the model), 2026-11-21 09:30:00 UTC:',
        'blessed by hand by eve: dark ones are rare',
    ]


def test_decision_as_json(history, why):
    history.evaluate('first', NO)

    values = json.loads(why('--json').stdout)

    assert values['blessed'] is False
    assert values['model'] == f'{history.folder}/first'
    assert [each['passed'] for each in values['verdict']['rulings']] == [True, False, None]


@pytest.mark.parametrize(
    ('file', 'text', 'words'),
    [
        (f'verdict-1/{VERDICT_FILE}', None, 'verdict-1 cannot be read: No such file'),
        (f'verdict-1/{VERDICT_FILE}', '{"rul', 'verdict-1 is damaged'),
        (f'first/{OVERRIDE_FILE}', '{', f'{OVERRIDE_FILE} is damaged'),
    ],
)
def test_reports_unreadable_file(history, why, file, text, words):
    history.evaluate('first', NO)
    (history.folder / file).unlink(missing_ok=True)
    if text:
        (history.folder / file).write_text(text)

    done = why()

    assert done.exit_code == 2
    assert words in done.stderr


def test_reports_missing_run(why, tmp_path):
    done = why()

    assert done.exit_code == 2
    assert done.stderr == 'error: pets has evaluated no model yet; run the recipe\n'
    assert list(tmp_path.iterdir()) == []
