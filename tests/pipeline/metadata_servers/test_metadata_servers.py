"""Connections to MariaDB and gRPC servers, their errors, and nodes that use them."""

import socket
import uuid
from pathlib import Path

import pytest
from metadata_recorder import Recorder
from metadata_service import PASSWORD

from common.errors import MetadataError
from pipeline.config.metadata_config import MetadataConfig
from pipeline.config.recipe import Recipe
from pipeline.execution.launch import compile_pipeline, launch_node
from pipeline.graph import create_pipeline
from pipeline.metadata_store import open_store

VARIABLE = 'CATDOG_METADATA_PASSWORD'
REPOSITORY = Path(__file__).parents[3]
SQUARES = {'image_size': 32, 'alpha': 0.35, 'weights': 'random', 'batch_size': 16}


@pytest.fixture
def connection_error(tmp_path):
    """`connection_error(address)`: the message of the failed connection."""

    def connect(address: str) -> str:
        with pytest.raises(MetadataError) as caught:
            open_store(MetadataConfig(address=address), tmp_path)
        message = str(caught.value)
        assert address in message
        assert PASSWORD not in message
        assert '\n' not in message
        return message

    return connect


@pytest.mark.parametrize(
    ('database', 'user', 'secret', 'reason'),
    [
        ('catdog_made', 'catdog', 'wrong', f'rejects the user or the password in {VARIABLE}'),
        ('catdog_made', 'nobody', PASSWORD, f'rejects the user or the password in {VARIABLE}'),
        ('other', 'catdog', PASSWORD, "Access denied for user 'catdog'@'%' to database 'other'"),
    ],
)
def test_reports_denied_access(
    mysql, connection_error, monkeypatch, database, user, secret, reason
):
    monkeypatch.setenv(VARIABLE, secret)

    assert reason in connection_error(mysql(database, user))


@pytest.mark.parametrize(
    ('address', 'reason'),
    [
        ('mysql://catdog@127.0.0.1:1/catdog_made', 'Connection refused'),
        ('mysql://catdog@no-such-host.invalid/catdog_made', 'not known'),
        ('grpc://127.0.0.1:1', 'Connection refused'),
    ],
)
def test_reports_absent_server(connection_error, address, reason):
    assert reason in connection_error(address)


@pytest.mark.parametrize(
    ('address', 'reason'),
    [
        ('mysql://catdog@127.0.0.1:{}/catdog_made', 'timed out'),
        ('grpc://127.0.0.1:{}', 'Deadline Exceeded'),
    ],
)
def test_silent_server_times_out(connection_error, monkeypatch, address, reason):
    monkeypatch.setattr('pipeline.metadata_store._MYSQL_TIMEOUT', 0.2)
    monkeypatch.setattr('pipeline.metadata_store._GRPC_TIMEOUT', 0.2)
    with socket.create_server(('127.0.0.1', 0)) as listener:
        assert reason in connection_error(address.format(listener.getsockname()[1]))


def test_reports_unset_variable(connection_error, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    message = connection_error('mysql://catdog@127.0.0.1/catdog_made')
    assert f'needs a password, but the environment variable {VARIABLE} is not set' in message


@pytest.mark.parametrize('server', ['mysql', 'grpc'])
def test_launches_and_caches_nodes(server, request, tmp_path, caplog):
    if server == 'grpc':
        address = request.getfixturevalue('grpc_address')
    else:  # localhost connects by TCP, too
        address = request.getfixturevalue('mysql')('catdog_nodes').replace('127.0.0.1', 'localhost')
    recipe = Recipe(
        name='squares',
        workdir=tmp_path / 'runs',
        metadata={'address': address},
        trainer={**SQUARES, 'warm_start': 'live'},
    )
    open_store(recipe.metadata, recipe.home)

    def launch(node):
        pipeline = create_pipeline(recipe, ('cats', 'dogs'), images=100)
        ir = compile_pipeline(pipeline, run_id=uuid.uuid4().hex)
        return launch_node(ir, node)

    first, again = launch('ImportSchemaGen'), launch('ImportSchemaGen')
    resolved = launch('warm_start_resolver')

    assert (first.cached, again.cached) == (False, True)
    assert again.outputs['schema'][0].uri == first.outputs['schema'][0].uri
    assert not resolved.outputs.get('model')
    assert not list(tmp_path.glob('runs/**/*.sqlite'))
    files = [path for path in recipe.home.rglob('*') if path.is_file()]
    assert files
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]
    assert PASSWORD not in caplog.text  # TFX logs the connection at a level that is off


@pytest.mark.parametrize('command', ['models', 'report', 'models rollback --reason why'])
def test_command_that_needs_files_names_the_missing_folder(grpc_address, invoke, tmp_path, command):
    store = open_store(MetadataConfig(address=grpc_address), tmp_path)
    Recorder(store=store).run({1: 'a'})

    done = invoke(*command.split(), '--set', f'metadata.address={grpc_address}')

    assert (done.exit_code, done.stdout) == (4, '')
    (line,) = done.stderr.splitlines()
    home = tmp_path / 'pets'
    assert line.startswith(f'error: {home}, which earlier runs have written, is not on this')
    assert not home.exists()
