"""Metadata servers for tests: MariaDB, and a gRPC server in this process."""

import dataclasses
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from metadata_service import PASSWORD, serve
from ml_metadata.proto import metadata_store_pb2

# ml_metadata's client supports only mysql_native_password.
_USERS = f"""
CREATE USER 'catdog'@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('{PASSWORD}');
GRANT ALL ON `catdog_%`.* TO 'catdog'@'%';
"""


@dataclasses.dataclass(frozen=True)
class Server:
    """A MariaDB server with the user `catdog`, who may create databases named `catdog_...`."""

    port: int
    process: subprocess.Popen

    def address(self, database: str, user: str = 'catdog') -> str:
        return f'mysql://{user}@127.0.0.1:{self.port}/{database}'


@pytest.fixture(scope='session')
def mariadb(tmp_path_factory) -> Iterator[Server]:
    """A MariaDB server with empty data, for all tests."""
    server = start_mariadb(tmp_path_factory.mktemp('mariadb'))
    yield server
    _end(server)


@pytest.fixture
def start_another_mariadb(tmp_path) -> Iterator:
    """Starts a MariaDB server that the test may stop."""
    servers: list[Server] = []

    def start(*options: str) -> Server:
        servers.append(start_mariadb(tmp_path / 'mariadb', *options))
        return servers[-1]

    yield start
    for server in servers:
        _end(server)


def start_mariadb(folder: Path, *options: str) -> Server:
    """Starts Debian's `mariadbd` on a free port, with little memory."""
    # Debian installs it in /usr/sbin, which may be missing in PATH.
    mariadbd = shutil.which('mariadbd', path=f'{os.environ["PATH"]}:/usr/sbin')
    if mariadbd is None:
        pytest.skip('mariadbd is not installed (apt-get install mariadb-server)')
    folder.mkdir(exist_ok=True)
    (folder / 'users.sql').write_text(_USERS)
    common = ['--no-defaults', f'--datadir={folder / "data"}', f'--user={getpass.getuser()}']
    subprocess.run(
        [
            'mariadb-install-db',
            *common,
            '--auth-root-authentication-method=normal',
            '--skip-test-db',
            '--skip-name-resolve',
        ],
        check=True,
        capture_output=True,
    )
    port = _free_port()
    with (folder / 'log').open('w') as log:
        process = subprocess.Popen(
            [
                mariadbd,
                *common,
                f'--port={port}',
                '--bind-address=127.0.0.1',
                f'--socket={folder / "socket"}',
                f'--pid-file={folder / "pid"}',
                f'--init-file={folder / "users.sql"}',
                '--skip-name-resolve',
                '--innodb-buffer-pool-size=16M',
                '--innodb-log-file-size=8M',
                '--innodb-flush-log-at-trx-commit=0',
                *options,
            ],
            stdout=log,
            stderr=log,
        )
    server = Server(port, process)
    try:
        _wait_for_handshake(server, folder / 'log')
    except BaseException:
        _end(server)
        raise
    return server


def _free_port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        return listener.getsockname()[1]


def _wait_for_handshake(server: Server, log: Path) -> None:
    end = time.monotonic() + 60
    while server.process.poll() is None and time.monotonic() < end:
        try:
            with socket.create_connection(('127.0.0.1', server.port), timeout=10) as link:
                if link.recv(1):
                    return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f'mariadbd does not respond:\n{log.read_text()}')


def _end(server: Server) -> None:
    server.process.kill()  # its data is not kept
    server.process.wait()


@pytest.fixture
def grpc_address(tmp_path) -> Iterator[str]:
    """The address of a gRPC server with an SQLite file."""
    sqlite = metadata_store_pb2.SqliteMetadataSourceConfig(
        filename_uri=str(tmp_path / 'served.sqlite'), connection_mode='READWRITE_OPENCREATE'
    )
    server, port = serve(metadata_store_pb2.ConnectionConfig(sqlite=sqlite))
    yield f'grpc://127.0.0.1:{port}'
    server.stop(grace=None).wait()
