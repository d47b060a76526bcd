"""The commands compile and submit, with a fake Kubeflow server."""

import json
import re
import resource

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


def test_compile_writes_file_and_notes_settings_of_one_machine(call, tmp_path):
    path = tmp_path / 'demo.yaml'
    workdir = ['--workdir', '/runs', '--set', 'inference.path=/photographs']

    code, output, notes = call('compile', '-o', path, *workdir)

    assert (code, output) == (0, f'demo is written to {path}\n')
    assert path.read_text().startswith('# PIPELINE DEFINITION')
    assert notes.splitlines() == [
        'note: metadata.address is sqlite; concurrent pods need MySQL or gRPC.',
        'note: workdir is /runs, which is not on any of kubeflow.volumes.',
        'note: inference.path is /photographs, which is not on any of kubeflow.volumes.',
    ]


def test_compile_notes_that_no_secret_has_credentials_of_the_bucket(call, tmp_path):
    keys = {'workdir': 's3://b/x', 'kubeflow.storage': 'object', 'metadata.address': 'grpc://h:1'}
    options = [f'--set={key}={value}' for key, value in keys.items()]
    secret = '--set=kubeflow.secrets=[{secret: s, key: k, env: AWS_SECRET_ACCESS_KEY}]'
    for given, noted in ((options, True), ([*options, secret], False)):
        code, _, notes = call('compile', '-o', tmp_path / 'demo.yaml', *given)
        assert (code, 'kubeflow.secrets is empty' in notes) == (0, noted)


def test_compile_that_fails_keeps_the_compiled_pipeline(call, tmp_path):
    path = tmp_path / 'demo.yaml'
    call('compile', '-o', path)  # with the limit, imports would write truncated bytecode
    path.write_text('before')
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, limits[1]))
    try:
        full = call('compile', '-o', path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    unknown = call('compile', '-o', path, '--set', 'kubeflow.tasks={Trainr: {}}')
    missing = call('compile', '-o', tmp_path / 'no' / 'x.yaml')

    assert (full[0], unknown[0], missing[0]) == (2, 2, 2)
    assert re.search(r'File too large\n$', full[2])
    assert 'kubeflow.tasks.Trainr' in unknown[2]
    assert missing[2] == f'error: folder {tmp_path / "no"} does not exist\n'
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {path.name: 'before'}


def test_submit_prints_url_of_run(call, kubeflow):
    code, output, _ = call('submit')

    (run,) = kubeflow.stored['runs']
    assert (code, output) == (0, f'demo runs: {kubeflow.url}/#/runs/details/{run["run_id"]}\n')


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
    kubeflow.create('recurringruns', display_name='demo')
    code, output, _ = call('submit', '--cron', '30 4 * * 1-5')

    first, following = output.splitlines()
    assert code == 0
    assert re.match(r'demo runs at 04:30.* \(UTC\), as \S+$', first)
    assert re.match(r'next run: (Mon|Tue|Wed|Thu|Fri) \d{4}-\d\d-\d\d 04:30 UTC$', following)
    (sent,) = kubeflow.stored['recurringruns']
    inputs = sent['pipeline_spec']['pipeline_spec']['root']['inputDefinitions']['parameters']
    recipe = json.loads(inputs['recipe']['defaultValue'])
    assert recipe['trainer']['warm_start'] == 'none'
