"""The `why` command: the latest gate decision and its manual override."""

import json
from pathlib import Path

import pytest

from common.blessing import OVERRIDE_FILE, ManualOverride, write_override
from components.evaluation.gate.verdict import VERDICT_FILE, Ruling, Verdict, write_verdict
from pipeline.command_line import CommandLine
from pipeline.report.content.page_data import ModelStatus, ReportData
from pipeline.report.store import store_report

DARK = 'accuracy on dark images 0.883, floor 0.90 (n=212)'
YES = Verdict(rulings=(Ruling(rule='baseline', result='passed', reason='accuracy 0.950, base'),))
NO = Verdict(
    rulings=(
        *YES.rulings,
        Ruling(
            rule='floor',
            result='failed',
            reason=DARK,
            blocks=True,
            remedy='train on more dark images',
            settings={'evaluation.floors': {'brightness.dark': 0.88}},
        ),
        Ruling(rule='live model', result='not applied', reason='there is [b]nothing to compare'),
    )
)


@pytest.fixture
def evaluate(tmp_path, recorder, monkeypatch):
    """`evaluate(verdict, baseline, anchor)` records a model with its gate decision."""

    def record(verdict, baseline=None, anchor=None, base=None):
        recorder.folder = tmp_path
        model = recorder.run({1: 'a'}, blessed=verdict.blessed, base=base)
        Path(model.uri).mkdir()
        write_verdict(verdict, Path(model.uri) / 'verdict')
        recorder.execution(
            'components.evaluation.gate.component.ModelGate',
            {
                'model': [model],
                'baseline_model': [baseline] if baseline else [],
                'anchor_model': [anchor] if anchor else [],
            },
            {'verdict': [recorder.artifact('Verdict', uri=f'{model.uri}/verdict')]},
            [recorder.pipeline, recorder.context('pipeline_run', f'gate-{model.id}')],
        )
        return model

    monkeypatch.setattr('pipeline.metadata_store.existing_store', lambda *_: recorder.store)
    return record


def lines(done):
    assert (done.exit_code, done.stderr) == (0, '')
    return [line.rstrip() for line in done.stdout.splitlines()]


def test_prints_one_line_per_rule(evaluate, invoke):
    model = evaluate(NO)

    verdict, *text, _, remedy, command = lines(invoke('why'))

    assert verdict.startswith('NOT BLESSED: the model of run gate-')
    assert text == [
        f'model: {model.uri}',
        'compared with: no live model',
        '',
        'passed       accuracy 0.950, base',
        f'failed       {DARK}',
        'not applied  there is [b]nothing to compare',
    ]
    assert remedy == (
        'remedy: train on more dark images; or accept this model with '
        'evaluation.floors: {"brightness.dark": 0.88}'
    )
    assert command.startswith('next: run the recipe again with better data or training; or accept:')
    assert command.endswith("""'--set=evaluation.floors={"brightness.dark": 0.88}'""")


@pytest.mark.parametrize('warm', [False, True])
def test_command_repeats_the_warm_start_of_the_candidate(evaluate, invoke, warm):
    evaluate(NO, base=evaluate(YES) if warm else None)

    assert ('--set=trainer.warm_start=latest_blessed' in lines(invoke('why'))[-1]) == warm


def test_command_has_the_options_of_the_run(evaluate, invoke, tmp_path):
    run = f'gate-{evaluate(NO).id}'
    commands = CommandLine(program=('catdog-pipeline',), options=('--set=trainer.seed=7',))
    report = ReportData(
        recipe='pets',
        description='',
        run_id=run,
        made='2026-11-21T09:30Z',
        seconds=1,
        config={},
        standing=ModelStatus(blessed=False, verdict=NO, live=False),
        commands=commands,
    )
    store_report(tmp_path / 'pets', report, '', keep=1)

    assert ' or accept: catdog-pipeline run --set=trainer.seed=7 ' in lines(invoke('why'))[-1]


def test_withdrawn_blessing_has_its_command(evaluate, invoke):
    model = evaluate(YES)
    values = {'reason': 'wrong labels', 'moment': '2026-11-21T09:30Z'}
    write_override(Path(model.uri), ManualOverride(blessed=False, person='eve', **values))

    assert lines(invoke('why'))[-1].endswith(' --force --reason TEXT')


def test_prints_latest_decision_with_versions(evaluate, invoke):
    first = evaluate(YES)
    second = evaluate(YES, baseline=first)

    verdict, model, baseline = lines(invoke('why'))[:3]

    assert verdict.startswith('BLESSED: ')
    assert model == f'model: {second.uri} (version 1002)'
    assert baseline == f'compared with: {first.uri} (version 1001)'


def test_prints_best_model_so_far(evaluate, invoke):
    best = evaluate(YES)
    evaluate(YES, baseline=evaluate(YES, baseline=best), anchor=best)

    assert lines(invoke('why'))[3] == f'best so far: {best.uri} (version 1001)'


def test_manual_override_has_precedence(evaluate, invoke):
    model = evaluate(NO)
    values = {'reason': 'dark ones are rare', 'moment': '2026-11-21T09:30Z'}
    write_override(Path(model.uri), ManualOverride(blessed=True, person='eve', **values))

    text = lines(invoke('why'))

    assert text[0].startswith('BLESSED: ')
    assert f'failed       {DARK}' in text
    assert text[-2:] == [
        'manual override (the rules reject the model), 2026-11-21 09:30:00 UTC:',
        'manually blessed by eve: dark ones are rare',
    ]


def test_decision_as_json(evaluate, invoke):
    model = evaluate(NO)

    values = json.loads(invoke('why', '--json').stdout)

    assert (values['blessed'], values['model']) == (False, model.uri)
    assert [each['result'] for each in values['verdict']['rulings']] == [
        'passed',
        'failed',
        'not applied',
    ]


@pytest.mark.parametrize(
    ('file', 'text', 'words'),
    [
        (f'verdict/{VERDICT_FILE}', None, 'verdict cannot be read: No such file'),
        (f'verdict/{VERDICT_FILE}', '{"rul', 'verdict is damaged'),
        (OVERRIDE_FILE, '{', f'{OVERRIDE_FILE} is damaged'),
    ],
)
def test_reports_unreadable_file(evaluate, invoke, file, text, words):
    path = Path(evaluate(NO).uri, file)
    path.unlink(missing_ok=True)
    if text:
        path.write_text(text)

    done = invoke('why')

    assert done.exit_code == 2
    assert words in done.stderr


def test_reports_missing_run(invoke, tmp_path):
    done = invoke('why')

    assert done.exit_code == 2
    assert done.stderr == 'error: pets has evaluated no model yet; run the recipe\n'
    assert list(tmp_path.iterdir()) == []
