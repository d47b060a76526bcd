"""The commands compile and submit, with a fake Kubeflow server."""

import re

import click.testing
import pytest

from pipeline_runner import main


@pytest.fixture
def call(kubeflow):
    """`call(*words)` runs a command; returns exit code, stdout and stderr."""

    def call_command(*words):
        where = ['--config', 'demo', '--set', f'kubeflow.connection.host={kubeflow.url}']
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
    assert (
        output
        == f'demo runs: {kubeflow.url}/#/runs/details/{kubeflow.stored["runs"][0]["run_id"]}\n'
    )


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--set', 'trainer.sed=1'], 'error: .*: trainer.sed: unknown key; did you mean seed'),
        (['--cron', '0 2 * *'], 'error: .*0 2'),
        (['--timezone', 'Asia/Tokyo'], '(?s).*Error: --timezone needs --cron'),
        (
            ['--cron', '0 2 * * *', '--timezone', 'Asia/Tokyo'],
            'error: .* Kubeflow reads schedules in UTC',
        ),
    ],
)
def test_submit_sends_nothing_if_recipe_or_schedule_is_invalid(call, kubeflow, words, message):
    code, _, errors = call('submit', *words)

    assert code == 2
    assert re.match(message, errors)
    assert kubeflow.requests == []


def test_submit_with_cron_makes_or_replaces_the_schedule(call, kubeflow):
    kubeflow.create('recurringruns', 'demo')
    kubeflow.requests.append(('', {}))  # for another ID
    code, output, _ = call('submit', '--cron', '30 4 * * 1-5')

    first, following = output.splitlines()
    assert code == 0
    assert re.match(r'demo runs at 04:30.* \(UTC\), as \S+$', first)
    assert re.match(r'next run: (Mon|Tue|Wed|Thu|Fri) \d{4}-\d\d-\d\d 04:30 UTC$', following)
    (sent,) = kubeflow.stored['recurringruns']
    assert sent['runtime_config']['parameters']['only_when_new'] is True
    assert sent['max_concurrency'] == '1'
    inputs = sent['pipeline_spec']['pipeline_spec']['root']['inputDefinitions']['parameters']
    assert '"warm_start":"latest_blessed"' in inputs['recipe']['defaultValue']
