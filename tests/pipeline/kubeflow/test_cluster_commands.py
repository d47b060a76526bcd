"""The commands compile, submit and schedule, with a fake Kubeflow server."""

import re

import click.testing
import pytest

from pipeline_runner import main


@pytest.fixture
def call(kubeflow):
    """`call(*words)` runs a command; returns exit code, stdout and stderr."""

    def call_command(*words, host=True):
        where = ['--set', f'kubeflow.connection.host={kubeflow.url}'] if host else []
        done = click.testing.CliRunner().invoke(main, [*map(str, words), *where])
        assert 'Traceback' not in done.output
        return done.exit_code, done.stdout, done.stderr

    return call_command


def test_compile_writes_file(call, tmp_path):
    code, output, _ = call('compile', '-o', tmp_path / 'demo.yaml', host=False)

    assert (code, output) == (0, f'demo is written to {tmp_path / "demo.yaml"}\n')
    assert (tmp_path / 'demo.yaml').read_text().startswith('# PIPELINE DEFINITION')


def test_compile_for_vertex_prints_limitations(call, tmp_path):
    options = ['--engine', 'vertex', '-o', tmp_path / 'demo.json', '--workdir', tmp_path]
    code, _, errors = call('compile', *options, host=False)

    assert code == 0
    assert len(re.findall(r'^note: [A-Z].*\.$', errors, re.MULTILINE)) == 6


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('x.txt', r'error: .*x\.txt: Kubeflow takes YAML; give a name that ends in \.yaml'),
        ('no/x.yaml', r'error: .*no/x\.yaml cannot be used: No such file or directory'),
    ],
)
def test_compile_rejects_unusable_file_name(call, tmp_path, name, message):
    code, _, errors = call('compile', '-o', tmp_path / name, host=False)

    assert code == 2
    assert re.match(message, errors)


def test_submit_prints_url_of_run(call, kubeflow):
    code, output, _ = call('submit')

    assert code == 0
    assert re.match(rf'demo runs as \S+: {kubeflow.url}/#/runs/details/\S+$', output)


def test_schedule_prints_description_and_next_times(call, kubeflow):
    code, output, _ = call('schedule', '--cron', '30 4 * * 1-5')

    first, *times = output.splitlines()
    assert code == 0
    assert re.match(r'demo runs at 04:30 on Monday through Friday \(UTC\), as \S+$', first)
    assert len(times) == 3
    assert all(re.match(r'  (Mon|Tue|Wed|Thu|Fri) \d{4}-\d\d-\d\d 04:30 UTC$', t) for t in times)


def test_schedule_trains_only_when_new_with_warm_start(call, kubeflow):
    call('schedule', '--cron', '0 2 * * *')

    (request,) = [each.body for each in kubeflow.requests if creates_schedule(each)]
    assert request['runtime_config']['parameters']['only_when_new'] is True
    inputs = request['pipeline_spec']['pipeline_spec']['root']['inputDefinitions']['parameters']
    assert '"warm_start":"latest_blessed"' in inputs['recipe']['defaultValue']


def creates_schedule(request):
    return request.method == 'POST' and request.path.endswith('/recurringruns')


def test_lists_and_deletes_schedules(call):
    call('schedule', '--cron', '0 2 * * *')
    assert call('schedule', 'list')[1].startswith('demo: At 02:00 every day (UTC)')

    code, output, _ = call('schedule', 'delete', 'demo')

    assert (code, output.startswith('demo is deleted')) == (0, True)
    assert call('schedule', 'list')[1] == 'there are no schedules\n'


@pytest.mark.parametrize(
    ('words', 'code', 'message'),
    [
        (
            ['schedule', '--cron', '0 2 * *'],
            2,
            r"error: cron expression '0 2 \* \*': Wrong number of fields",
        ),
        (['schedule'], 2, r"(?s).*Error: --cron is missing, as in --cron '0 2 \* \* 1-5'"),
        (['schedule', '--set', 'trainer.seed=1', 'list'], 2, '(?s).*write options after list'),
        (['schedule', 'delete', 'dem'], 1, 'error: no schedule is named dem'),
        (
            ['schedule', '--cron', '0 2 * * *', '--timezone', 'Europe/Berlin'],
            2,
            'error: .* is in Europe/Berlin, but Kubeflow reads schedules in UTC; ',
        ),
        (
            ['schedule', '--cron', '0 2 * * *', '--timezone', 'Europe/Berlim'],
            2,
            'error: .*Europe/Berlin',
        ),
    ],
    ids=['four fields', 'no cron', 'options before list', 'unknown', 'other zone', 'no zone'],
)
def test_invalid_usage_is_reported(call, words, code, message):
    result = call(*words)

    assert result[0] == code
    assert re.match(message, result[2])


def test_submit_reports_unreachable_cluster(call):
    host = ['--set', 'kubeflow.connection.host=http://127.0.0.1:9']
    code, _, errors = call('submit', *host, host=False)

    assert (code, errors) == (
        1,
        'error: http://127.0.0.1:9 does not respond: Connection refused\n',
    )
