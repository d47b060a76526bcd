"""Connections to MariaDB and gRPC servers, and their errors."""

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
from pipeline.metadata_store import connection_config, open_store

VARIABLE = 'CATDOG_METADATA_PASSWORD'
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def password(monkeypatch):
    monkeypatch.setenv(VARIABLE, PASSWORD)


@pytest.fixture
def connection_error(tmp_path):
    """`connection_error(address)`: the message of the failed connection, within some seconds."""

    def connect(address: str, seconds: float = 5) -> str:
        start = time.monotonic()
        with pytest.raises(MetadataError) as caught:
            open_store(MetadataConfig(address=address), tmp_path)
        assert time.monotonic() - start < seconds
        message = str(caught.value)
        assert address in message
        assert PASSWORD not in message
        assert '\n' not in message
        return message

    return connect


def test_creates_sqlite_file_and_folder(tmp_path):
    open_store(MetadataConfig(), tmp_path / 'runs' / 'mine')

    assert (tmp_path / 'runs' / 'mine' / 'metadata.sqlite').is_file()


def test_creates_mysql_database(mariadb, tmp_path):
    open_store(MetadataConfig(address=mariadb.address('catdog_made')), tmp_path)


def test_localhost_connects_by_tcp(mariadb, tmp_path):
    address = mariadb.address('catdog_made').replace('127.0.0.1', 'localhost')

    open_store(MetadataConfig(address=address), tmp_path)


@pytest.mark.parametrize('user', ['catdog', 'nobody'])
def test_wrong_credentials_name_the_password_variable(mariadb, connection_error, monkeypatch, user):
    monkeypatch.setenv(VARIABLE, 'wrong')

    message = connection_error(mariadb.address('catdog_made', user))

    assert f'the server rejects the user or the password in {VARIABLE}' in message


def test_denied_database_is_named(mariadb, connection_error):
    message = connection_error(mariadb.address('other'))

    assert message.endswith("Access denied for user 'catdog'@'%' to database 'other'")


def test_reports_unset_variable(mariadb, connection_error, monkeypatch):
    monkeypatch.delenv(VARIABLE)

    message = connection_error(mariadb.address('catdog_made'))

    assert f'needs a password, but the environment variable {VARIABLE} is not set' in message


def test_reports_stopped_server(start_another_mariadb, connection_error, tmp_path):
    server = start_another_mariadb()
    address = server.address('catdog_made')
    open_store(MetadataConfig(address=address), tmp_path)
    server.process.terminate()
    server.process.wait()

    assert 'cannot be used: cannot connect (Connection refused)' in connection_error(address)


def test_reports_unknown_host(connection_error):
    assert 'cannot connect' in connection_error('mysql://catdog@no-such-host.invalid/catdog_made')


@pytest.fixture
def silent(monkeypatch):
    """The port of a server that accepts connections, but sends nothing."""
    monkeypatch.setattr('pipeline.metadata_store._MYSQL_TIMEOUT', 0.5)
    monkeypatch.setattr('pipeline.metadata_store._GRPC_TIMEOUT', 0.5)
    with socket.create_server(('127.0.0.1', 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    'address', ['mysql://catdog@127.0.0.1:{}/catdog_made', 'grpc://127.0.0.1:{}']
)
def test_silent_server_times_out(silent, connection_error, address):
    assert 'the server did not respond in time' in connection_error(address.format(silent))


@pytest.mark.parametrize(
    ('greeting', 'reason'),
    [
        (b'SSH-2.0-OpenSSH_9.2p1\r\n', 'not a MySQL or MariaDB server'),
        (b'', 'not a MySQL or MariaDB server'),
        (b'\x17\0\0\0\xff\x10\x04Too many connections', 'cannot be used: Too many connections'),
        (b'\x1d\0\0\0\xff\x10\x04#08004Too many connections', 'be used: Too many connections'),
    ],
    ids=['ssh', 'closed', 'full', 'full with its state'],
)
def test_reports_first_packet_that_is_not_a_handshake(connection_error, greeting, reason):
    with socket.create_server(('127.0.0.1', 0)) as listener:

        def greet():
            with listener.accept()[0] as client:
                client.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        message = connection_error(
            f'mysql://catdog@127.0.0.1:{listener.getsockname()[1]}/catdog_made'
        )
        thread.join()
    assert message.endswith(reason)


CONNECT = """
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
            [sys.executable, '-c', CONNECT, mariadb.address('catdog_shared')],
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


def test_reports_absent_grpc_server(connection_error):
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = listener.getsockname()[1]

    assert 'no gRPC server at this address' in connection_error(f'grpc://127.0.0.1:{port}')


def test_reports_other_grpc_service(connection_error):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    port = server.add_insecure_port('127.0.0.1:0')
    server.start()

    message = connection_error(f'grpc://127.0.0.1:{port}')

    server.stop(grace=None).wait()
    assert message.endswith('not an ML Metadata server')


def test_grpc_connection_has_timeout(tmp_path):
    config = connection_config(MetadataConfig(address='grpc://metadata:8080'), tmp_path)

    assert config.client_timeout_sec == 30
