"""The `why` command: the latest gate decision and manual overrides."""

import datetime
import io
import json

import click.testing
import pytest

from common import console
from common.blessing import OVERRIDE_FILE, ManualOverride, write_override
from common.errors import ModelError
from components.evaluation.gate.verdict import VERDICT_FILE, Ruling, Verdict, write_verdict
from pipeline.formatting import to_json
from pipeline.registry.gate_history import as_text, latest_decision
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
    """Gate decisions, pushes and overrides in ML Metadata."""

    def __init__(self, folder, recorder) -> None:
        self.folder = folder
        self.store = recorder.store
        self._recorder = recorder
        self._runs = 0

    def model(self, name):
        (self.folder / name).mkdir()
        return self._recorder.artifact('Model', uri=str(self.folder / name))

    def evaluate(self, model, verdict, baseline=None):
        """Returns the folder of the verdict."""
        self._runs += 1
        folder = self.folder / f'verdict-{self._runs}'
        write_verdict(verdict, folder)
        inputs = {'model': [model], 'baseline_model': [baseline] if baseline else []}
        blessing = self._recorder.artifact('ModelBlessing', blessed=int(verdict.blessed))
        result = self._recorder.artifact('Verdict', uri=str(folder))
        run = self._recorder.context('pipeline_run', f'run-{self._runs}')
        self._record(
            'components.evaluation.gate.component.ModelGate',
            inputs,
            {'verdict': [result], 'blessing': [blessing]},
            run,
        )
        return folder

    def evaluate_without_gate(self, model):
        blessing = self._recorder.artifact('ModelBlessing', blessed=1, current_model_id=model.id)
        inputs, outputs = {'model': [model]}, {'blessing': [blessing]}
        self._record('tfx.components.evaluator.component.Evaluator', inputs, outputs)

    def push(self, model, version):
        pushed = self._recorder.artifact(
            'PushedModel', pushed=1, pushed_version=version, pushed_destination=f'/live/{version}'
        )
        inputs, outputs = {'model': [model]}, {'pushed_model': [pushed]}
        self._record('components.pusher.component.Pusher', inputs, outputs)

    def override(self, kind, model, **values):
        blessing = self._recorder.artifact('ModelBlessing', current_model_id=model.id)
        self._record(f'catdog.{kind}', {'model_blessing': [blessing]}, {}, **values)

    def decision(self):
        return latest_decision(self.store, 'pets')

    def lines(self):
        """The console output of `why`."""
        out = io.StringIO()
        with console.output_to(out):
            console.show(as_text(self.decision()))
        return [line.rstrip() for line in out.getvalue().splitlines()]

    def _record(self, kind, inputs, outputs, *contexts, **values):
        contexts = [self._recorder.pipeline, *contexts]
        self._recorder.execution(kind, inputs, outputs, contexts, **values)


@pytest.fixture
def history(tmp_path, recorder):
    return History(tmp_path, recorder)


@pytest.fixture
def why(tmp_path):
    options = ['--set', 'name=pets', '--workdir', str(tmp_path)]
    return lambda: click.testing.CliRunner().invoke(main, ['why', *options])


@pytest.fixture
def stored(history, monkeypatch):
    """Commands use the metadata of `history`."""
    monkeypatch.setattr('pipeline.metadata_store.existing_store', lambda *_: history.store)


def test_prints_one_line_per_rule(history, why, stored):
    history.evaluate(history.model('first'), NO)

    done = why()

    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert (done.exit_code, done.stderr) == (0, '')
    assert lines == history.lines()
    assert lines[0].startswith('NOT BLESSED: the model of run run-1, ')
    assert lines[1:3] == [
        f'model: {history.folder}/first',
        'compared with: no previous blessed model',
    ]
    assert lines[4:] == [
        'passed   accuracy 0.950, base',
        f'failed   {DARK}',
        'no vote  there is [b]nothing to compare',
    ]


def test_prints_latest_decision_with_versions(history):
    first, second = history.model('first'), history.model('second')
    history.evaluate(first, NO)
    history.push(first, '7')
    history.evaluate(second, YES, baseline=first)
    history.push(second, '9')

    lines = history.lines()

    assert lines[0].startswith('BLESSED: ')
    assert lines[1] == f'model: {history.folder}/second (version 9)'
    assert lines[2] == f'compared with: {history.folder}/first (version 7)'


def test_manual_override_has_precedence_and_is_listed_once(history):
    model = history.model('first')
    history.evaluate(model, NO)
    history.override('Bless', model, person='eve', reason='dark ones are rare')
    now = datetime.datetime.now(datetime.timezone.utc)
    write_override(
        history.folder / 'first',
        ManualOverride(blessed=True, person='eve', reason='dark ones are rare', moment=now),
    )

    lines = history.lines()

    assert lines[0].startswith('BLESSED: ')
    assert f'failed   {DARK}' in lines
    assert lines[-2] == 'manual overrides (the rules reject the model):'
    assert lines[-1].endswith(', eve: blessed: dark ones are rare')
    assert len([line for line in lines if 'eve' in line]) == 1


def test_lists_override_that_is_missing_in_metadata(history):
    history.evaluate(history.model('first'), YES)
    moment = datetime.datetime(2026, 11, 21, 9, 30, tzinfo=datetime.timezone.utc)
    override = ManualOverride(blessed=False, person='eve', reason='slow', moment=moment)
    write_override(history.folder / 'first', override)

    lines = history.lines()

    assert lines[0].startswith('NOT BLESSED: ')
    assert lines[-2:] == [
        'manual overrides (the rules bless the model):',
        '  2026-11-21 09:30:00 UTC, eve: blessing withdrawn: slow',
    ]


def test_lists_rollback_from_model_that_was_blessed_again(history):
    model, before = history.model('second'), history.model('first')
    history.evaluate(model, YES)
    history.override('Rollback', before, person='eve', reason='slow', withdrawn_id=model.id)
    history.override('Bless', model, person='bob', reason='fast enough')

    overrides = [(each.person, each.what) for each in history.decision().overrides]

    assert overrides == [('eve', 'blessing withdrawn'), ('bob', 'blessed')]


def test_omits_overrides_of_other_models(history):
    first, second = history.model('first'), history.model('second')
    history.override('Unbless', first, person='eve', reason='wrong labels')
    history.evaluate(second, YES)

    assert history.decision().overrides == ()


def test_decision_as_json(history):
    history.evaluate(history.model('first'), NO)

    values = json.loads(to_json(history.decision()))

    assert values['blessed'] is False
    assert values['model'] == f'{history.folder}/first'
    assert datetime.datetime.fromisoformat(values['when']).tzinfo
    assert [each['passed'] for each in values['verdict']['rulings']] == [True, False, None]


@pytest.mark.parametrize(('text', 'words'), [(None, 'No such file'), ('{"rul', 'is damaged')])
def test_rejects_unreadable_verdict(history, text, words):
    file = history.evaluate(history.model('first'), NO) / VERDICT_FILE
    file.unlink()
    if text:
        file.write_text(text)

    with pytest.raises(ModelError, match=words):
        history.decision()


def test_rejects_damaged_override_file(history, why, stored):
    history.evaluate(history.model('first'), NO)
    file = history.folder / 'first' / OVERRIDE_FILE
    file.write_text('{')

    done = why()

    assert done.exit_code == 2
    assert done.stderr.startswith(f'error: {file} is damaged')


def test_runs_without_gate_have_no_recorded_reasons(history):
    history.evaluate_without_gate(history.model('first'))

    with pytest.raises(ModelError, match='no run of pets has recorded reasons yet'):
        history.decision()


def test_reports_missing_run(why, tmp_path):
    done = why()

    assert done.exit_code == 2
    assert done.stderr == 'error: pets has evaluated no model yet; run the recipe\n'
    assert list(tmp_path.iterdir()) == []
