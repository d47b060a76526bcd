"""Commands on a machine that reaches the metadata server, but not the files of the runs."""

import json

import pytest
from metadata_recorder import Recorder

from pipeline.commands.options import METADATA_ADDRESS
from pipeline.config.metadata_config import MetadataConfig
from pipeline.metadata_store import open_store

WHY = ('--reason', 'why')


@pytest.fixture
def home(tmp_path):
    return tmp_path / 'pets'


@pytest.fixture
def server(grpc_address, monkeypatch, tmp_path):
    """An empty metadata server whose address is in the environment."""
    monkeypatch.setenv(METADATA_ADDRESS, grpc_address)
    return open_store(MetadataConfig(address=grpc_address), tmp_path)


@pytest.fixture
def runs(server, home):
    """Two pushed models and a rejected one, of the recipe `pets`."""
    recorder = Recorder(store=server)
    recorder.folder = f'{home}/artifacts/Trainer/model'
    for spans in ({1: 'a'}, {1: 'a', 2: 'b'}):
        recorder.run(spans, destination=f'{home}/serving')
    recorder.run({3: 'c'}, blessed=False)
    return recorder


@pytest.mark.parametrize(
    ('command', 'missing'),
    [
        (['report'], 'pets'),
        (['rollback', *WHY], 'pets'),
        (['unbless', *WHY], 'pets'),
        (['bless', '1', '--force', *WHY], 'pets'),
    ],
)
def test_command_that_needs_files_reports_the_missing_folder(
    runs, invoke, tmp_path, home, command, missing
):
    done = invoke(*command)

    assert (done.exit_code, done.stdout) == (4, '')
    (line,) = done.stderr.splitlines()
    assert line.startswith(f'error: {tmp_path / missing}, which earlier runs have written, is not ')
    assert not home.exists()


def test_models_are_listed_from_the_metadata(runs, invoke, home):
    done = invoke('models')

    _, live, other = done.stdout.splitlines()
    assert live.split()[:2] == ['1002', 'live']
    assert other.split()[0] == '1001'
    assert done.exit_code == 4
    assert done.stderr.startswith(f'error: {home}, which')


def test_models_of_an_unmounted_push_directory(runs, invoke, home):
    home.mkdir()
    done = invoke('models', '--json')

    versions = [(each['version'], each['megabytes']) for each in json.loads(done.stdout)]
    assert versions == [(1002, None), (1001, None)]
    assert done.exit_code == 4
    assert done.stderr.startswith(f'error: {home}/serving, which')


def test_lineage_needs_no_files(runs, invoke):
    done = invoke('lineage', '1002')
    assert done.exit_code == 0
    assert 'span 2, fingerprint b' in done.stdout


@pytest.mark.parametrize(
    ('command', 'code', 'words'),
    [
        (['models'], 0, 'no version in '),
        (['report'], 2, 'there are no reports in '),
        (['rollback', *WHY], 2, 'pets has no runs in '),
    ],
)
def test_recipe_without_runs_misses_no_files(server, invoke, home, command, code, words):
    done = invoke(*command)
    assert done.exit_code == code
    assert words in done.output
    assert not home.exists()


def test_reports_invalid_address_without_its_password(invoke, monkeypatch):
    monkeypatch.setenv(METADATA_ADDRESS, 'mysql://ada:secret@localhost/metadb')
    done = invoke('models')
    assert done.exit_code == 2
    assert done.stderr.startswith(f'error: the environment variable {METADATA_ADDRESS}: expected ')
    assert 'secret' not in done.stderr


def test_other_commands_ignore_the_address(server, invoke):
    assert 'address: sqlite' in invoke('config').stdout
