import logging
import signal
import socket
import sys
import time

import pytest
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker import sdk_worker

from components import beam_workers
from components.beam_workers import WorkerPool, main, run_worker


@pytest.mark.parametrize('name', ['tensorflow_data_validation', 'tensorflow_model_analysis'])
def test_worker_imports_libraries_before_it_has_threads(monkeypatch, name):
    created = []
    monkeypatch.setattr(sdk_worker, 'SdkHarness', lambda *_, **__: created.append(name))
    monkeypatch.setitem(sys.modules, name, None)  # makes the import fail

    with pytest.raises(ImportError, match=name):
        run_worker('localhost:1', '1-1')

    assert not created


def test_pool_starts_workers_and_ends_them(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(
        beam_workers,
        '_WORKER',
        f'import pathlib, sys, time; pathlib.Path({str(tmp_path)!r}, sys.argv[2]).touch();'
        'time.sleep(0 if sys.argv[1] == "closed" else 600)',
    )
    caplog.set_level(logging.INFO)
    pool = WorkerPool()

    for url, worker_id in (('closed', 'short'), ('open', 'long')):
        request = beam_fn_api_pb2.StartWorkerRequest(worker_id=worker_id)
        request.control_endpoint.url = url
        pool.StartWorker(request, None)
    wait_until(lambda: {each.name for each in tmp_path.iterdir()} == {'short', 'long'})
    wait_until(lambda: 'ended with code 0' in caplog.text)
    pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id='long'), None)
    assert caplog.text.count('ended') == 1

    pool.stop_all()
    wait_until(lambda: f'ended with code {-signal.SIGTERM}' in caplog.text)


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_used_address_is_one_error_line(monkeypatch):
    monkeypatch.setattr(signal, 'signal', lambda *_: None)
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        address = f'127.0.0.1:{other.getsockname()[1]}'
        monkeypatch.setattr(sys, 'argv', ['beam_workers', '--address', address])

        with pytest.raises(SystemExit, match=f'^error: --address {address}: .*$'):
            main()
