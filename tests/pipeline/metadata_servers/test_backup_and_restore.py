"""The backup of deploy/kubernetes and the restore of its README, against a MariaDB server."""

import gzip
import os
import re
import shlex
import subprocess
import uuid
from pathlib import Path

import pytest
import yaml
from metadata_recorder import Recorder
from metadata_service import PASSWORD

from pipeline.config.metadata_config import MetadataConfig, parse_address
from pipeline.metadata_store import open_store
from pipeline.models.provenance import Provenance

DEPLOY = Path(__file__).parents[3] / 'deploy'
JOB, _ = yaml.safe_load_all((DEPLOY / 'kubernetes/base/metadata/backup.yaml').read_text())
(CONTAINER,) = JOB['spec']['jobTemplate']['spec']['template']['spec']['containers']
(RESTORE,) = re.findall(
    r'^ +kubectl exec .* catdog-restore -- (bash .*)$',
    (DEPLOY / 'README.md').read_text(),
    re.MULTILINE,
)


@pytest.fixture
def address(mysql):
    return mysql(f'catdog_{uuid.uuid4().hex[:8]}')


@pytest.fixture
def run_in_pod(address, tmp_path):
    """`run_in_pod(words, password)` runs a command of a pod in an empty folder of backups."""
    server = parse_address(address)
    (tmp_path / 'backups').mkdir()

    def run(words, password=PASSWORD):
        environment = {
            **os.environ,
            'KEEP': '2',
            'MYSQL_PWD': password,
            'MYSQL_TCP_PORT': str(server.port),
        }
        return subprocess.run(
            [word.replace('catdog-metadata', server.host) for word in words],
            cwd=tmp_path / 'backups',
            env=environment,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def back_up(address, run_in_pod):
    words = [*CONTAINER['command'], *CONTAINER['args']]
    database = parse_address(address).database

    def run(password=PASSWORD):
        # The name of the database is also a part of the names of the files.
        return run_in_pod([word.replace(' metadb ', f' {database} ') for word in words], password)

    return run


@pytest.fixture
def backups(tmp_path):
    return lambda: sorted(path.name for path in tmp_path.glob('backups/*'))


def test_restores_the_metadata_of_the_backup(address, tmp_path, back_up, backups, run_in_pod):
    recorder = Recorder(store=open_store(MetadataConfig(address=address), tmp_path))
    recorder.run({1: 'a'})

    done = back_up()

    assert (done.returncode, done.stderr) == (0, '')
    (name,) = backups()
    recorder.run({2: 'b'})  # lost by the restore
    database = parse_address(address).database
    words = [
        re.sub(r' metadb$', f' {database}', re.sub(r'metadb-\S+', name, word))
        for word in shlex.split(RESTORE)
    ]
    done = run_in_pod(words)
    assert (done.returncode, done.stderr) == (0, '')
    store = open_store(MetadataConfig(address=address), tmp_path)
    provenance = Provenance(store, 'pets')
    (model,) = provenance.models().values()
    assert provenance.training_spans(model) == {1: 'a'}


def test_keeps_the_newest_backups_and_all_if_it_fails(address, tmp_path, back_up, backups):
    open_store(MetadataConfig(address=address), tmp_path)
    earlier = [f'metadb-2025-01-0{day}T00-00-00Z.sql.gz' for day in (1, 2, 3)]
    for name in earlier:
        (tmp_path / 'backups' / name).touch()

    failed = back_up(password='wrong')
    assert failed.returncode != 0
    assert 'Access denied' in failed.stderr
    assert [name for name in backups() if not name.endswith('.partial')] == earlier

    assert back_up().returncode == 0
    third, new = backups()
    assert third == earlier[-1]
    with gzip.open(tmp_path / 'backups' / new, 'rt') as dump:
        assert 'CREATE TABLE `Artifact`' in dump.read()
