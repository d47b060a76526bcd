"""Commands on a machine that reaches the metadata server, but not the files of the runs."""

import pytest
from metadata_recorder import Recorder

from pipeline.config.metadata_config import MetadataConfig
from pipeline.metadata_store import open_store

WHY = ('--reason', 'why')


@pytest.mark.parametrize(
    'command',
    [
        ['models'],
        ['models', 'show'],
        ['report'],
        ['models', 'rollback', *WHY],
        ['models', 'bless', '1', *WHY],
        ['clean'],
    ],
)
def test_command_that_needs_files_names_the_missing_folder(grpc_address, invoke, tmp_path, command):
    store = open_store(MetadataConfig(address=grpc_address), tmp_path)
    Recorder(store=store).run({1: 'a'})

    done = invoke(*command, '--set', f'metadata.address={grpc_address}')

    assert (done.exit_code, done.stdout) == (4, '')
    (line,) = done.stderr.splitlines()
    home = tmp_path / 'pets'
    assert line.startswith(f'error: {home}, which earlier runs have written, is not on this')
    assert not home.exists()
