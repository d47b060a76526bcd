"""The commands compile, submit and schedule, with a fake Kubeflow server."""

import re

import click.testing
import pytest
from fake_server import URL

from pipeline_runner import main


@pytest.fixture
def call(kubeflow):
    """`call(*words)` runs a command; returns exit code, stdout and stderr."""

    def call_command(*words):
        where = ['--config', 'demo', '--set', f'kubeflow.connection.host={URL}']
        done = click.testing.CliRunner().invoke(main, [*map(str, words), *where])
        assert 'Traceback' not in done.output
        return done.exit_code, done.stdout, done.stderr

    return call_command


def test_compile_writes_file(call, tmp_path):
    code, output, _ = call('compile', '-o', tmp_path / 'demo.yaml')

    assert (code, output) == (0, f'demo is written to {tmp_path / "demo.yaml"}\n')
    assert (tmp_path / 'demo.yaml').read_text().startswith('# PIPELINE DEFINITION')


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('x.txt', r'error: .*x\.txt: Kubeflow takes YAML; give a name that ends in \.yaml'),
        ('no/x.yaml', r'error: .*no/x\.yaml cannot be used: No such file or directory'),
    ],
)
def test_compile_rejects_unusable_file_name(call, tmp_path, name, message):
    code, _, errors = call('compile', '-o', tmp_path / name)

    assert code == 2
    assert re.match(message, errors)


def test_submit_prints_url_of_run(call, kubeflow):
    code, output, _ = call('submit')

    assert code == 0
    assert re.match(rf'demo runs as \S+: {URL}/#/runs/details/\S+$', output)


def test_submit_sends_nothing_if_the_recipe_is_invalid(call, kubeflow):
    code, _, errors = call('submit', '--set', 'trainer.sed=1')

    assert code == 2
    assert re.match('error: .*: trainer.sed: unknown key; did you mean seed', errors)
    assert kubeflow.requests == []


def test_schedule_is_created_listed_and_deleted(call, kubeflow):
    code, output, _ = call('schedule', '--engine=kubeflow', '--cron', '30 4 * * 1-5')

    first, *times = output.splitlines()
    assert code == 0
    assert re.match(r'demo runs at 04:30.* \(UTC\), as \S+$', first)
    assert len(times) == 3
    assert all(re.match(r'  (Mon|Tue|Wed|Thu|Fri) \d{4}-\d\d-\d\d 04:30 UTC$', t) for t in times)
    (sent,) = kubeflow.stored['recurringruns']
    assert sent['runtime_config']['parameters']['only_when_new'] is True
    inputs = sent['pipeline_spec']['pipeline_spec']['root']['inputDefinitions']['parameters']
    assert '"warm_start":"latest_blessed"' in inputs['recipe']['defaultValue']

    assert call('schedule', 'list')[1].startswith('demo: At 04:30')
    assert call('schedule', 'delete', 'demo')[1].startswith('demo is deleted')
    assert call('schedule', 'list')[1] == 'there are no schedules\n'


@pytest.mark.parametrize(
    ('words', 'code', 'message'),
    [
        (['schedule', '--engine=kubeflow', '--cron', '0 2 * *'], 2, 'error: .*0 2'),
        (
            ['schedule', '--engine=local'],
            2,
            r"(?s).*Error: --cron is missing, as in --cron '0 2 \* \* 1-5'",
        ),
        (
            ['schedule', '--cron', '0 2 * * *'],
            2,
            '(?s).*Error: --engine is missing: --engine local .*; --engine kubeflow on a cluster',
        ),
        (['schedule', '--set', 'trainer.seed=1', 'list'], 2, '(?s).*write options after list'),
        (['schedule', 'delete', 'dem'], 1, 'error: no schedule is named dem'),
        (
            ['schedule', '--engine=kubeflow', '--cron', '0 2 * * *', '--timezone', 'Europe/Berlin'],
            2,
            'error: .* is in Europe/Berlin, but Kubeflow reads schedules in UTC; ',
        ),
    ],
)
def test_invalid_usage_is_reported(call, words, code, message):
    result = call(*words)

    assert result[0] == code
    assert re.match(message, result[2])
