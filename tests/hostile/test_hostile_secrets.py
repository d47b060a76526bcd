"""Secrets in recipes and options are in no output and no error; e2e/test_local_run.py has a run."""

import http.server
import json
import threading
from pathlib import Path

import click.testing
import pytest
import yaml

from common.errors import ConfigError, DataError
from common.redaction import is_redacted, redacted
from components.image_example_gen.image_example_gen import ImageExampleGen
from components.image_example_gen.sources.archive import complete_url
from components.image_example_gen.sources.base.data_config import DATA_URL, DataConfig
from pipeline.config.recipe import load_recipe, parse_override
from pipeline.kubeflow.decision import decide
from pipeline_runner import main

SECRET = 'hunter2hunter2'


@pytest.fixture
def server():
    """Host and port of a server that forbids everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(b'HTTP/1.0 403 Forbidden\r\nX-A: 1\r\nno colon\r\n\r\n')

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f'127.0.0.1:{server.server_port}'
        server.shutdown()


def files_in(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob('*') if path.is_file()]


def test_failed_download_repeats_no_secret(tmp_path, server):
    """The server closes the connection after an invalid header, which urllib3 logs."""
    runs = tmp_path / 'runs'
    command = ['run', '--workdir', str(runs)]

    for host, reason in ((server, 'the server answers 403'), ('127.0.0.1:9', 'cannot be reached')):
        url = f'http://ada:{SECRET}@{host}/pets.zip?{SECRET}#{SECRET}'
        done = click.testing.CliRunner().invoke(main, [*command, '--data', url])

        assert done.exit_code == 2
        assert '/pets.zip?*** cannot be fetched: ' in done.stderr
        assert reason in done.stderr
        assert SECRET not in done.output
    assert files_in(runs)
    assert not any(SECRET.encode() in file for file in files_in(runs))


@pytest.mark.parametrize(
    ('url', 'expected'),
    [
        ('https://host/a.zip', 'https://host/a.zip'),
        ('https://ada:pw@host/a.zip', 'https://***@host/a.zip'),
        ('https://ada:p/w@x@host/a.zip?token=1#2', 'https://***@host/a.zip?***'),
        ('https://host/a.zip?token=1', 'https://host/a.zip?***'),
        ('https://host#token', 'https://host?***'),
        ('https://host/a;token=1/b.zip', 'https://host/a?***'),
        ('https://ada:p;w@host/a.zip;token=1?x=2', 'https://***@host/a.zip?***'),
        ('https://host/a.zip?token=1.', 'https://host/a.zip?***.'),
        ('mysql://root:PW@host/db', 'mysql://***@host/db'),
        ('https:/ada:pw@host', 'https:/***@host'),  # as a path shows it
        ('s3://bucket/pets', 's3://bucket/pets'),
        ('a text: mine@home?', 'a text: mine@home?'),
        (
            "Error: 'ftp://ada:pw@host', (https://host/a?token=1); see https://host/b.",
            "Error: 'ftp://***@host', (https://host/a?***); see https://host/b.",
        ),
        ('x' * 10**6, 'x' * 10**6),
        (':/' * 10**6, ':/' * 10**6),
    ],
)
def test_redacts_user_password_query_and_fragment(url, expected):
    assert redacted(url) == expected
    assert redacted(expected) == expected
    assert is_redacted(expected) == ('***' in expected)


SECRETS = [  # options with a secret that is not where it belongs
    f'metadata.address=mysql://root:{SECRET}@h:1/db/x?{SECRET}',
    f'metadata.password_env={SECRET}!',
    f'retrain.webhook_env=https://hooks.example/services/{SECRET}',
    f'kubeflow.connection.host=https://ada:{SECRET}@kubeflow.example',
    f'mlflow.tracking_uri=https://mlflow.example/?token={SECRET}',
    f'trainer.weights=https://ada:{SECRET}@host/w.h5',
    f'data.path=" https://ada:{SECRET}@host/pets"',
    f'data.url=s3://key:{SECRET}@bucket/pets',
    f'kubeflow.secrets=[{{secret: a, key: b, env: "PW={SECRET}"}}]',
    f'beam={{runner: flink, options: {{flink_master: h, s3_secret_access_key: {SECRET}}}}}',
    f'https://ada:{SECRET}{"a" * 200}@host/a.zip=1',
]


@pytest.mark.parametrize('option', SECRETS)
def test_error_does_not_repeat_secret(option, tmp_path):
    done = click.testing.CliRunner().invoke(main, ['config', '--set', option])

    assert done.exit_code == 2
    assert done.stderr.startswith('error: ')
    assert SECRET not in done.output


@pytest.mark.parametrize(
    'text',
    [
        f'data: {{url: "https://ada:{SECRET}@host/a.zip"]',
        f'description: {{PW: {SECRET}}} }}',
        f'description:\n\tPW: {SECRET}',
        f'metadata: {{address: "mysql://root:{SECRET}@h/db"}}',
    ],
)
def test_error_of_recipe_does_not_repeat_line(text, tmp_path):
    path = tmp_path / 'recipe.yaml'
    path.write_text(text)

    with pytest.raises(ConfigError) as error:
        load_recipe(str(path))

    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    'command',
    [
        *(['models show {}', 'report {}', 'models bless {} --reason=x', 'models rollback --to {}']),
        *(['init {}', 'init ftp://ada:{secret}@host', 'run {}', 'clean {}', 'predict {}']),
        *('schedule --cron {}', 'run --weights {}/w.h5', 'run --config {}/r.yaml'),
        'predict cat.jpg --model {}/1',
        *(['submit --cron {}', '{}', 'config --set {}=1', 'config --data {}', 'report --sett={}']),
    ],
)
def test_url_in_the_wrong_place_is_redacted(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = command.format(f'ftp://ada:{SECRET}@host/a', secret=SECRET).split()

    done = click.testing.CliRunner().invoke(main, words)

    assert done.exit_code == 2
    assert SECRET not in done.output


def test_config_prints_no_secrets(tmp_path):
    option = f'--data=https://ada:{SECRET}@host/a.zip?token={SECRET}'

    done = click.testing.CliRunner().invoke(main, ['config', option])

    printed = yaml.safe_load(done.stdout)
    assert SECRET not in done.output
    assert printed['data']['url'] == 'https://***@host/a.zip?***'
    assert load_recipe('demo', [('data', printed['data'])]).data.url == printed['data']['url']


def url_config(url):
    return DataConfig(source='archive', url=url)


def test_same_data_with_another_token_is_cached(monkeypatch):
    monkeypatch.setenv(DATA_URL, '')
    one, other = (
        ImageExampleGen(url_config(f'https://ada:{word}@host/a.zip?token={word}')).exec_properties
        for word in ('one', 'two')
    )
    assert one == other


def test_executor_gets_complete_url_from_environment(monkeypatch):
    complete = f'https://ada:{SECRET}@host/a.zip?token={SECRET}'
    monkeypatch.setenv(DATA_URL, 'https://host/other.zip')
    properties = ImageExampleGen(url_config(complete)).exec_properties

    recorded = DataConfig.model_validate_json(properties['data'])

    assert SECRET not in f'{properties}{recorded!r}{recorded}{url_config(complete)!r}'
    assert complete_url(recorded.url) == complete


@pytest.mark.parametrize(
    ('variable', 'problem'),
    [(None, 'is not set'), (f'https://x:{SECRET}@other/a.zip', 'has another address')],
)
def test_recorded_url_needs_the_variable(monkeypatch, variable, problem):
    monkeypatch.delenv(DATA_URL, raising=False)
    if variable:
        monkeypatch.setenv(DATA_URL, variable)

    assert complete_url('https://host/a.zip') == 'https://host/a.zip'
    with pytest.raises(DataError, match=f'^data.url is .*, and .* {DATA_URL} {problem}; set it to'):
        complete_url('https://***@host/a.zip')


def test_run_on_cluster_takes_no_secret_from_its_parameters(tmp_path, monkeypatch):
    """Kubeflow stores the parameters of a run."""
    monkeypatch.delenv(DATA_URL, raising=False)
    values = {'name': 'pets', 'workdir': str(tmp_path), 'data': {'source': 'archive'}}
    inputs = {
        'recipe': json.dumps(values),
        'overrides': [f'data.url=https://ada:{SECRET}@host/a.zip'],
        'run_id': '1',
        'only_when_new': False,
    }

    with pytest.raises(DataError, match=f'environment variable {DATA_URL} is not set'):
        decide(inputs)

    assert not any(SECRET.encode() in file for file in files_in(tmp_path))


def test_option_is_not_taken_for_a_secret():
    assert parse_override('description=see https://example.org?page=2')[1].endswith('?page=2')
