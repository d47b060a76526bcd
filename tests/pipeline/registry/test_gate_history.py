"""The last verdict, as a person and a program read it."""

import datetime
import io
import json

import click.testing
import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from common import console
from common.blessing import OVERRIDE_FILE, ManualOverride, write_override
from common.errors import ModelError
from components.evaluation.gate.verdict import VERDICT_FILE, Ruling, Verdict, write_verdict
from pipeline.metadata_store import SQLITE_FILE
from pipeline.registry.gate_history import as_json, as_text, read_why
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


class Judged:
    """Metadata of models that a gate has judged."""

    def __init__(self, folder) -> None:
        home = folder / 'pets'
        home.mkdir()
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(home / SQLITE_FILE)
        config.sqlite.connection_mode = 3  # READWRITE_OPENCREATE
        self.store = ml_metadata.MetadataStore(config)
        self.folder = folder
        self._pipeline = self._context('pipeline', 'pets')
        self._runs = 0

    def model(self, name):
        (self.folder / name).mkdir()
        return self._artifact('Model', uri=str(self.folder / name))

    def judge(self, model, verdict, baseline=None):
        self._runs += 1
        folder = self.folder / f'verdict-{self._runs}'
        write_verdict(verdict, folder)
        inputs = {'model': model, **({'baseline_model': baseline} if baseline else {})}
        blessing = self._artifact('ModelBlessing', blessed=int(verdict.blessed))
        outputs = {'verdict': self._artifact('Verdict', uri=str(folder)), 'blessing': blessing}
        self._execution('components.evaluation.gate.component.ModelGate', inputs, outputs)
        return folder

    def push(self, model, version):
        pushed = self._artifact(
            'PushedModel', pushed=1, pushed_version=version, pushed_destination=f'/live/{version}'
        )
        inputs, outputs = {'model': model}, {'pushed_model': pushed}
        self._execution('components.pusher.component.Pusher', inputs, outputs)

    def by_hand(self, kind, model, **noted):
        blessing = self._artifact('ModelBlessing', current_model_id=model.id)
        self._execution(f'catdog.{kind}', {'model_blessing': blessing}, {}, **noted)

    def why(self):
        return read_why(self.store, 'pets')

    def _context(self, kind, name):
        type_id = self.store.put_context_type(mlmd.ContextType(name=kind))
        (key,) = self.store.put_contexts([mlmd.Context(type_id=type_id, name=name)])
        return self.store.get_contexts_by_id([key])[0]

    def _artifact(self, kind, uri='', **values):
        type_id = self.store.put_artifact_type(mlmd.ArtifactType(name=kind))
        artifact = mlmd.Artifact(type_id=type_id, uri=uri)
        noted(artifact, values)
        (key,) = self.store.put_artifacts([artifact])
        return self.store.get_artifacts_by_id([key])[0]

    def _execution(self, kind, inputs, outputs, **values):
        type_id = self.store.put_execution_type(mlmd.ExecutionType(name=kind))
        execution = mlmd.Execution(type_id=type_id, last_known_state=mlmd.Execution.COMPLETE)
        noted(execution, values)
        pairs = []
        for event_type, those in ((mlmd.Event.INPUT, inputs), (mlmd.Event.OUTPUT, outputs)):
            for key, artifact in those.items():
                event = mlmd.Event(type=event_type)
                event.path.steps.add(key=key)
                pairs.append((artifact, event))
        run = self._context('pipeline_run', f'run-{self._runs}-{kind}-{len(inputs)}')
        self.store.put_execution(execution, pairs, [self._pipeline, run])


def noted(thing, values):
    for key, value in values.items():
        kind = 'int_value' if isinstance(value, int) else 'string_value'
        setattr(thing.custom_properties[key], kind, value)


@pytest.fixture
def judged(tmp_path):
    return Judged(tmp_path)


def shown(why):
    out = io.StringIO()
    with console.output_to(out):
        console.show(as_text(why))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_each_rule_has_a_line_with_its_vote(judged):
    judged.judge(judged.model('first'), NO)

    lines = shown(judged.why())

    assert lines[0].startswith('NOT BLESSED: the model that run run-1-')
    assert lines[1:3] == [
        f'model: {judged.folder}/first',
        'compared with: no blessed model was there before',
    ]
    assert lines[4:] == [
        'yes      accuracy 0.950, base',
        f'no       {DARK}',
        'no vote  there is [b]nothing to compare',
    ]


def test_the_last_verdict_is_told_with_its_versions(judged):
    first, second = judged.model('first'), judged.model('second')
    judged.judge(first, NO)
    judged.push(first, '7')
    judged.judge(second, YES, baseline=first)
    judged.push(second, '9')

    lines = shown(judged.why())

    assert lines[0].startswith('BLESSED: ')
    assert lines[1] == f'model: {judged.folder}/second (version 9)'
    assert lines[2] == f'compared with: {judged.folder}/first (version 7)'


def test_what_a_person_did_stands_below_and_has_the_last_word(judged):
    model = judged.model('first')
    judged.judge(model, NO)
    judged.by_hand('Bless', model, person='eve', reason='dark ones are rare')
    now = datetime.datetime.now(datetime.timezone.utc)
    write_override(
        judged.folder / 'first',
        ManualOverride(blessed=True, person='eve', reason='dark ones are rare', moment=now),
    )

    lines = shown(judged.why())

    assert lines[0].startswith('BLESSED: ')
    assert f'no       {DARK}' in lines
    assert lines[-2] == 'by hand (the rules say no):'
    assert lines[-1].endswith(', eve: blessed by hand: dark ones are rare')
    assert len([line for line in lines if 'eve' in line]) == 1


def test_a_blessing_that_a_rollback_withdrew_is_told_from_what_stands_beside_the_model(judged):
    judged.judge(judged.model('first'), YES)
    moment = datetime.datetime(2026, 11, 21, 9, 30, tzinfo=datetime.timezone.utc)
    said = ManualOverride(blessed=False, person='eve', reason='slow', moment=moment)
    write_override(judged.folder / 'first', said)

    lines = shown(judged.why())

    assert lines[0].startswith('NOT BLESSED: ')
    assert lines[-2:] == [
        'by hand (the rules say yes):',
        '  2026-11-21 09:30:00 UTC, eve: its blessing was withdrawn by hand: slow',
    ]


def test_a_rollback_is_told_with_the_model_that_it_withdrew_also_when_that_is_blessed_again(judged):
    model, before = judged.model('second'), judged.model('first')
    judged.judge(model, YES)
    judged.by_hand('Rollback', before, person='eve', reason='slow', withdrawn_id=model.id)
    judged.by_hand('Bless', model, person='bob', reason='fast enough')

    told = [(each.person, each.what) for each in judged.why().deeds]

    assert told == [
        ('eve', 'its blessing was withdrawn by hand'),
        ('bob', 'blessed by hand'),
    ]


def test_what_was_done_with_another_model_is_not_told(judged):
    first, second = judged.model('first'), judged.model('second')
    judged.by_hand('Unbless', first, person='eve', reason='wrong labels')
    judged.judge(second, YES)

    assert judged.why().deeds == ()


def test_programs_get_the_same(judged):
    judged.judge(judged.model('first'), NO)

    values = json.loads(as_json(judged.why()))

    assert values['blessed'] is False
    assert values['model'] == f'{judged.folder}/first'
    assert [each['passed'] for each in values['verdict']['rulings']] == [True, False, None]


@pytest.mark.parametrize(('text', 'words'), [(None, 'is gone from'), ('{"rul', 'is damaged')])
def test_a_verdict_that_cannot_be_read_is_told(judged, text, words):
    file = judged.judge(judged.model('first'), NO) / VERDICT_FILE
    file.unlink()
    if text:
        file.write_text(text)

    with pytest.raises(ModelError, match=words):
        judged.why()


def command(folder, *arguments):
    options = ['--config', 'demo', '--set', 'name=pets', '--workdir', str(folder)]
    return click.testing.CliRunner().invoke(main, ['why', *options, *arguments])


def test_the_command_prints_it(judged):
    judged.judge(judged.model('first'), NO)

    done = command(judged.folder)

    assert (done.exit_code, done.stderr) == (0, '')
    assert f'no       {DARK}' in done.stdout


def test_a_word_of_a_person_that_cannot_be_read_is_one_sentence(judged):
    judged.judge(judged.model('first'), NO)
    file = judged.folder / 'first' / OVERRIDE_FILE
    file.write_text('{')

    done = command(judged.folder)

    sentence = f'error: {file} is damaged: bless or unbless the model again\n'
    assert (done.exit_code, done.stderr) == (2, sentence)


def test_runs_from_before_the_gate_are_not_said_to_have_judged_nothing(judged):
    model = judged.model('first')
    blessing = judged._artifact('ModelBlessing', blessed=1, current_model_id=model.id)
    judged._execution('tfx.components.Evaluator', {'model': model}, {'blessing': blessing})

    with pytest.raises(ModelError, match='no run of pets has kept its reasons yet'):
        judged.why()


def test_before_the_first_run_the_command_says_so_in_one_sentence(tmp_path):
    done = command(tmp_path)

    assert done.exit_code == 2
    assert done.stderr == 'error: pets has judged no model yet; run does that\n'
    assert list(tmp_path.iterdir()) == []
