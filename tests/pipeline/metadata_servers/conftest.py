"""A MariaDB server for all tests of the session."""

import getpass
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
import required
from free_ports import start_on_free_port
from metadata_service import PASSWORD, serve
from ml_metadata.proto import metadata_store_pb2

# ml_metadata's client supports only mysql_native_password.
_USERS = f"""
CREATE USER 'catdog'@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('{PASSWORD}');
GRANT ALL ON `catdog_%`.* TO 'catdog'@'%';
"""


@pytest.fixture(autouse=True)
def password(monkeypatch) -> None:
    monkeypatch.setenv('CATDOG_METADATA_PASSWORD', PASSWORD)


@pytest.fixture
def grpc_address(tmp_path) -> Iterator[str]:
    """The address of a gRPC server with an SQLite file."""
    sqlite = metadata_store_pb2.SqliteMetadataSourceConfig(
        filename_uri=str(tmp_path / 'served.sqlite'), connection_mode='READWRITE_OPENCREATE'
    )
    with serve(metadata_store_pb2.ConnectionConfig(sqlite=sqlite)) as port:
        yield f'grpc://127.0.0.1:{port}'


@pytest.fixture(scope='session')
def mysql(tmp_path_factory) -> Iterator[Callable[..., str]]:
    """`mysql(database, user)`: an address; `catdog` may create databases named `catdog_...`."""
    # Debian installs mariadbd in /usr/sbin, which may be missing in PATH.
    mariadbd = shutil.which('mariadbd', path=f'{os.environ["PATH"]}:/usr/sbin')
    if mariadbd is None:
        required.missing('mariadbd is not installed (apt-get install mariadb-server)')
    folder = tmp_path_factory.mktemp('mariadb')
    (folder / 'users.sql').write_text(_USERS)
    common = ['--no-defaults', f'--datadir={folder / "data"}', f'--user={getpass.getuser()}']
    common += ['--skip-name-resolve', '--innodb-log-file-size=8M', '--innodb-buffer-pool-size=16M']
    install = ['--auth-root-authentication-method=normal', '--skip-test-db']
    subprocess.run(['mariadb-install-db', *common, *install], check=True, capture_output=True)
    options = [
        '--bind-address=127.0.0.1',
        f'--socket={folder / "socket"}',
        f'--init-file={folder / "users.sql"}',
        '--innodb-flush-log-at-trx-commit=0',
    ]

    def start(port: int) -> subprocess.Popen:
        command = [mariadbd, *common, f'--port={port}', *options]
        with (folder / 'log').open('w') as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    process, port = start_on_free_port(
        start, lambda _: (folder / 'socket').exists(), folder / 'log'
    )
    try:
        yield lambda database, user='catdog': f'mysql://{user}@127.0.0.1:{port}/{database}'
    finally:
        process.kill()  # its data is not kept
        process.wait()
