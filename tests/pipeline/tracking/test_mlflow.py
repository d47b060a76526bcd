"""What is logged to MLflow: the request, and the runs of a real server."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from example_run import LIVE, REASON, REJECTED, example
from free_ports import refusing_port, start_on_free_port

from common.errors import ConfigError
from pipeline.config.mlflow_config import MlflowConfig
from pipeline.config.recipe import Recipe, recipe_of
from pipeline.tracking.mlflow_run import as_request, track

SECRETS = ('http://ada:secret@host:5000', 'http://host:5000/?token=secret')


@pytest.fixture
def page(tmp_path):
    (tmp_path / 'page.html').write_text('<h1>report</h1>')
    return tmp_path / 'page.html'


@pytest.fixture
def run(tmp_path):
    """`run('a')`: a pushed run, whose version is a folder with two files."""
    version = tmp_path / 'serving' / str(LIVE['version'])
    (version / 'variables').mkdir(parents=True)
    (version / 'saved_model.pb').write_bytes(b'graph')
    (version / 'variables' / 'variables.index').write_bytes(bytes(10))
    pushed = {**LIVE, 'folder': str(version)}

    return functools.partial(example, state=pushed)


@pytest.fixture
def problem_of(tmp_path):
    """`problem_of(config, run)` logs a run with a page; the problem, or None."""

    def call(config, run):
        recipe = Recipe(name='pets', workdir=tmp_path).model_copy(update={'mlflow': config})
        (recipe.home / 'reports').mkdir(parents=True, exist_ok=True)
        (recipe.home / 'reports' / f'{run.id}.html').write_text('<h1>report</h1>')
        return next(iter(track(recipe, run)), None)

    return call


@pytest.mark.parametrize('uri', [*SECRETS, 'ftp://host', 'mlruns', 'sqlite:///a.db', 'http://'])
def test_accepts_only_addresses_without_secrets(uri):
    with pytest.raises(ConfigError, match=r'mlflow.tracking_uri: ') as error:
        recipe_of({'name': 'pets', 'mlflow': {'tracking_uri': uri}})

    assert 'secret' not in str(error.value)
    assert ('environment variables' in str(error.value)) == (uri in SECRETS)


def test_rejected_run_has_reasons_and_names_that_mlflow_accepts_but_no_model(run, page):
    config = {'tuner': {'space': {'a"b': [1]}}, 'converter': None, 'description': ''}
    rejected = run('a', state=REJECTED, config=config)

    request = as_request(MlflowConfig(tracking_uri='http://host/'), rejected, page)

    assert request['artifacts'] == [(str(page), 'report')]
    assert request['tags']['catdog.decision'] == 'not blessed'
    assert request['tags']['catdog.reasons'] == REASON
    assert request['params'] == {'tuner.space.a_b': '[1]', 'converter': 'null', 'description': ''}
    assert request['tracking_uri'] == 'http://host'
    assert (request['experiment'], request['run_name']) == ('filtered_160', 'filtered_160/a')


def test_unreachable_server_is_one_sentence(run, problem_of):
    with refusing_port() as port:
        address = f'http://127.0.0.1:{port}'
        config = MlflowConfig(tracking_uri=address, timeout_seconds=300)
        problem = problem_of(config, run('a'))

    assert problem.startswith(f'MLflow at {address}: run not logged: MlflowException: ')
    assert '\n' not in problem


def test_server_that_is_too_slow_is_given_up(run, problem_of, tmp_path, monkeypatch):
    (tmp_path / 'slow_client.py').write_text('import time; time.sleep(60)')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    monkeypatch.setattr('pipeline.tracking.mlflow_run._CLIENT', 'slow_client')
    config = MlflowConfig(tracking_uri='http://127.0.0.1:1')

    problem = problem_of(config.model_copy(update={'timeout_seconds': 0.2}), run('a'))

    assert 'no end within mlflow.timeout_seconds, 0.2 s' in problem


@pytest.fixture(scope='module')
def client(tmp_path_factory):
    """The client of an MLflow server."""
    folder = tmp_path_factory.mktemp('mlflow')
    words = [
        *('--backend-store-uri', f'sqlite:///{folder}/runs.db'),
        *('--artifacts-destination', folder / 'artifacts'),
        *('--host', '127.0.0.1', '--workers', '1'),
    ]

    def start(port):
        with (folder / 'log').open('wb') as log:
            return subprocess.Popen(
                [sys.executable, '-m', 'mlflow', 'server', '--port', str(port), *words],
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,  # with its worker
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('MLFLOW_DISABLE_TELEMETRY', 'true')
        patch.setenv('MLFLOW_SERVER_ENABLE_JOB_EXECUTION', 'false')
        import mlflow

        process, port = start_on_free_port(start, is_up, folder / 'log')
        try:
            yield mlflow.MlflowClient(f'http://127.0.0.1:{port}')
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)


def is_up(port):
    url = f'http://127.0.0.1:{port}/health'
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
        return True
    return False


def runs_of(client, experiment):
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


@pytest.mark.slow
def test_server_gets_parameters_metrics_decision_report_and_model(client, run, problem_of, caplog):
    config = MlflowConfig(tracking_uri=client.tracking_uri, experiment='all')
    data = run('a')
    caplog.set_level('INFO', 'pipeline')

    assert problem_of(config, data) is None

    (logged,) = runs_of(client, 'all')
    info, tags, params = logged.info, logged.data.tags, logged.data.params
    link = f'{client.tracking_uri}/#/experiments/{info.experiment_id}/runs/{info.run_id}'
    assert caplog.messages == [f'MLflow: {link}']
    assert (info.status, info.run_name) == ('FINISHED', 'filtered_160/a')
    assert info.end_time - info.start_time == pytest.approx(data.seconds * 1000, abs=1)
    assert (tags['catdog.decision'], tags['catdog.version']) == ('blessed', LIVE['version'])
    assert params['trainer.batch_size'] == '32'
    assert params['evaluation.floors.brightness.dark'] == '0.9'
    assert logged.data.metrics['test/accuracy'] == pytest.approx(0.97, abs=0.001)
    history = client.get_metric_history(info.run_id, 'loss/validation')
    assert [each.step for each in history] == list(range(1, 21))
    model = client.list_artifacts(info.run_id, 'model')
    assert [each.path for each in model] == ['model/saved_model.pb', 'model/variables']
    (report,) = client.list_artifacts(info.run_id, 'report')
    assert (report.path, report.file_size) == ('report/a.html', len('<h1>report</h1>'))


@pytest.mark.slow
def test_failed_upload_and_deleted_experiment_are_one_sentence(client, run, problem_of, tmp_path):
    config = MlflowConfig(tracking_uri=client.tracking_uri, experiment='failed')
    gone = {**LIVE, 'folder': str(tmp_path / 'removed')}

    upload = problem_of(config, run('a', state=gone))
    assert problem_of(config, run('a')) is None
    runs = runs_of(client, 'failed')
    client.delete_experiment(runs[0].info.experiment_id)
    deleted = problem_of(config, run('b'))

    assert sorted(each.info.status for each in runs) == ['FAILED', 'FINISHED']
    assert 'removed' in upload
    assert "Cannot set a deleted experiment 'failed'" in deleted
    assert 'You can restore the experiment' in deleted
    for problem in (upload, deleted):
        assert '\n' not in problem
        assert problem.endswith('; once this is solved, the same command logs it')
