"""Connections to servers, good and bad. MariaDB is a real one; see conftest.py for the gRPC one."""

import socket
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from metadata_service import PASSWORD

from common.errors import MetadataError
from pipeline.config.metadata_config import MetadataConfig
from pipeline.metadata_store import connection, open_store

VARIABLE = 'CATDOG_METADATA_PASSWORD'
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def password(monkeypatch):
    monkeypatch.setenv(VARIABLE, PASSWORD)


@pytest.fixture
def refusal(tmp_path):
    """The one sentence that a connection is refused with, and that it comes soon."""

    def refuse(address: str, seconds: float = 5) -> str:
        start = time.monotonic()
        with pytest.raises(MetadataError) as caught:
            open_store(MetadataConfig(address=address), tmp_path)
        assert time.monotonic() - start < seconds
        message = str(caught.value)
        assert address in message
        assert PASSWORD not in message
        assert '\n' not in message
        return message

    return refuse


def test_creates_sqlite_file_and_folder(tmp_path):
    open_store(MetadataConfig(), tmp_path / 'runs' / 'mine')

    assert (tmp_path / 'runs' / 'mine' / 'metadata.sqlite').is_file()


def test_reports_file_that_is_not_a_database(tmp_path):
    (tmp_path / 'metadata.sqlite').write_text('not a database')

    with pytest.raises(MetadataError, match=r'metadata\.sqlite cannot be used: .*not a database'):
        open_store(MetadataConfig(), tmp_path)


def test_creates_mysql_database(mariadb, tmp_path):
    open_store(MetadataConfig(address=mariadb.address('catdog_made')), tmp_path)


def test_localhost_connects_by_tcp(mariadb, tmp_path):
    address = mariadb.address('catdog_made').replace('127.0.0.1', 'localhost')

    open_store(MetadataConfig(address=address), tmp_path)


@pytest.mark.parametrize('user', ['catdog', 'nobody'])
def test_wrong_credentials_name_the_password_variable(mariadb, refusal, monkeypatch, user):
    monkeypatch.setenv(VARIABLE, 'wrong')

    message = refusal(mariadb.address('catdog_made', user))

    assert f'the server refuses the user, or the password in {VARIABLE}' in message


def test_denied_database_is_named(mariadb, refusal):
    message = refusal(mariadb.address('other'))

    assert message.endswith("Access denied for user 'catdog'@'%' to database 'other'")


def test_reports_unset_variable(mariadb, refusal, monkeypatch):
    monkeypatch.delenv(VARIABLE)

    assert f'{VARIABLE}, with the password of mysql://' in refusal(mariadb.address('catdog_made'))


def test_reports_stopped_server(start_another_mariadb, refusal, tmp_path):
    server = start_another_mariadb()
    address = server.address('catdog_made')
    open_store(MetadataConfig(address=address), tmp_path)
    server.process.terminate()
    server.process.wait()

    assert 'cannot be used: nothing answers there (Connection refused)' in refusal(address)


def test_reports_unknown_host(refusal):
    assert 'nothing answers there' in refusal('mysql://catdog@no-such-host.invalid/catdog_made')


@pytest.fixture
def silent(monkeypatch):
    """The port of a server that accepts and says nothing."""
    monkeypatch.setattr('pipeline.metadata_store._PATIENCE', 0.5)
    monkeypatch.setattr('pipeline.metadata_store._CALL_PATIENCE', 0.5)
    with socket.create_server(('127.0.0.1', 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    'address', ['mysql://catdog@127.0.0.1:{}/catdog_made', 'grpc://127.0.0.1:{}']
)
def test_silent_server_times_out(silent, refusal, address):
    assert 'nothing answered in time' in refusal(address.format(silent))


@pytest.mark.parametrize(
    ('greeting', 'reason'),
    [
        (b'SSH-2.0-OpenSSH_9.2p1\r\n', 'what answers there is no MySQL or MariaDB server'),
        (b'', 'what answers there is no MySQL or MariaDB server'),
        (b'\x17\0\0\0\xff\x10\x04Too many connections', 'cannot be used: Too many connections'),
        (b'\x1d\0\0\0\xff\x10\x04#08004Too many connections', 'be used: Too many connections'),
    ],
    ids=['ssh', 'closed', 'full', 'full with its state'],
)
def test_reports_first_packet_that_is_not_a_handshake(refusal, greeting, reason):
    with socket.create_server(('127.0.0.1', 0)) as listener:

        def greet():
            with listener.accept()[0] as client:
                client.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        message = refusal(f'mysql://catdog@127.0.0.1:{listener.getsockname()[1]}/catdog_made')
        thread.join()
    assert message.endswith(reason)


ASK = """
import sys, time
from pathlib import Path
from pipeline.metadata_store import open_store
from pipeline.config.metadata_config import MetadataConfig
print('ready', flush=True)
sys.stdin.readline()
open_store(MetadataConfig(address=sys.argv[1]), Path('.'))
"""


def test_two_processes_create_tables_concurrently(mariadb):
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', ASK, mariadb.address('catdog_shared')],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == 'ready\n', process.communicate()[1]
    for process in processes:
        process.stdin.write('go\n')
        process.stdin.flush()
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error


def test_connects_to_grpc_server(grpc_address, tmp_path):
    open_store(MetadataConfig(address=grpc_address), tmp_path)

    assert (tmp_path / 'served.sqlite').exists()
    assert not (tmp_path / 'metadata.sqlite').exists()


def test_reports_absent_grpc_server(refusal):
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = listener.getsockname()[1]

    assert 'no gRPC server answers there' in refusal(f'grpc://127.0.0.1:{port}')


def test_reports_other_grpc_service(refusal):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    port = server.add_insecure_port('127.0.0.1:0')
    server.start()

    message = refusal(f'grpc://127.0.0.1:{port}')

    server.stop(grace=None).wait()
    assert message.endswith('what answers there is no ML Metadata server')


def test_grpc_connection_has_timeout(tmp_path):
    made = connection(MetadataConfig(address='grpc://metadata:8080'), tmp_path)

    assert made.client_timeout_sec == 30
