"""The lease of a recipe in ML Metadata."""

import datetime
import threading

import pytest
from ml_metadata import errors
from pipeline.registry.lease import held_lease, hold_lease, lease_holder, release_lease

from common.errors import AlreadyRunning
from pipeline.config.metadata_config import MetadataConfig
from pipeline.metadata_store import open_store
from pipeline.registry import lease as module


@pytest.fixture
def store(recorder):
    return recorder.store


def test_only_one_run_holds_the_lease_of_a_recipe(store):
    hold_lease(store, 'pets', 'run-1')
    hold_lease(store, 'pets', 'run-1')
    hold_lease(store, 'birds', 'run-2')

    with pytest.raises(AlreadyRunning, match=r'^run run-1 of pets is in progress; .* UTC'):
        hold_lease(store, 'pets', 'run-2')
    assert (lease_holder(store, 'pets'), lease_holder(store, 'birds')) == ('run-1', 'run-2')


def test_released_lease_goes_to_the_next_run(store):
    hold_lease(store, 'pets', 'run-1')
    release_lease(store, 'pets', 'run-2')
    assert lease_holder(store, 'pets') == 'run-1'
    release_lease(store, 'pets', 'run-1')
    assert lease_holder(store, 'pets') is None
    hold_lease(store, 'pets', 'run-2')
    assert lease_holder(store, 'pets') == 'run-2'


def test_lease_of_a_dead_run_expires(store, monkeypatch):
    monkeypatch.setattr(module, 'LEASE', datetime.timedelta(0))
    hold_lease(store, 'pets', 'run-1')
    assert lease_holder(store, 'pets') is None
    monkeypatch.undo()

    hold_lease(store, 'pets', 'run-2')
    with pytest.raises(AlreadyRunning):
        hold_lease(store, 'pets', 'run-1')


def test_one_of_two_simultaneous_runs_gets_the_lease(store, monkeypatch):
    """The name of a lease is created once, whatever both runs have read before."""
    monkeypatch.setattr(module, '_last', lambda *_: (0, None))
    hold_lease(store, 'pets', 'run-1')
    with pytest.raises(AlreadyRunning, match='another run of pets started at the same time'):
        hold_lease(store, 'pets', 'run-2')


@pytest.mark.parametrize('command', ['rollback', 'unbless', 'bless 7 --force'])
def test_models_are_not_overridden_during_a_run(invoke, tmp_path, command):
    home = tmp_path / 'pets'
    store = open_store(MetadataConfig(), home)
    hold_lease(store, 'pets', 'run-1')

    done = invoke(*command.split(), '--reason', 'a test')
    assert done.exit_code == 2
    assert done.stderr.startswith('error: run run-1 of pets is in progress; ')
    release_lease(store, 'pets', 'run-1')
    assert 'in progress' not in invoke(*command.split(), '--reason', 'a test').stderr


def test_lease_is_renewed_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(module, '_RENEWAL_SECONDS', 0.01)
    renewed = threading.Event()
    connections = []

    def connect():
        connections.append(open_store(MetadataConfig(), tmp_path))
        if len(connections) == 2:
            raise errors.UnavailableError('restarts')
        if len(connections) > 3:
            renewed.set()
        return connections[-1]

    with held_lease(connect, 'pets', 'run-1'):
        assert renewed.wait(30)
    assert lease_holder(connections[0], 'pets') == 'run-1'
