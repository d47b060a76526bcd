import signal
import socket
import sys
import time
from pathlib import Path

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


def test_pool_starts_workers_and_ends_them(monkeypatch, tmp_path):
    monkeypatch.setattr(
        beam_workers,
        '_WORKER',
        f'import os, pathlib, sys, time; file = pathlib.Path({str(tmp_path)!r}, sys.argv[2]);'
        'file.write_text(str(os.getpid())); time.sleep(600)',
    )
    pool = WorkerPool()
    for worker_id in ('one', 'two'):
        request = beam_fn_api_pb2.StartWorkerRequest(worker_id=worker_id)
        request.control_endpoint.url = 'localhost:1'
        pool.StartWorker(request, None)
    wait_until(lambda: [each for each in tmp_path.iterdir() if each.stat().st_size][1:])
    pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id='two'), None)
    processes = [int(each.read_text()) for each in tmp_path.iterdir()]
    assert all(map(is_running, processes))

    pool.stop_all()
    assert not any(map(is_running, processes))


def is_running(process):
    return Path(f'/proc/{process}').exists()


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
