import pytest
from metadata_recorder import Recorder
from ml_metadata.proto.metadata_store_pb2 import Artifact, Execution

from common.metadata_queries import (
    artifacts_by_id,
    nodes_of,
)


class Store:
    """Store with every artifact; records the sizes of requests."""

    def __init__(self):
        self.requests = []

    def get_artifacts_by_id(self, ids):
        self.requests.append(len(ids))
        return [Artifact(id=each) for each in ids]


@pytest.mark.parametrize(('count', 'requests'), [(0, []), (221, [100, 100, 21])])
def test_splits_requests_into_chunks(count, requests):
    store = Store()
    assert list(artifacts_by_id(store, range(1, count + 1))) == list(range(1, count + 1))
    assert store.requests == requests


def test_reads_successful_executions_of_an_artifact_oldest_first():
    recorder = Recorder()
    base = recorder.run({1: 'a'}, evaluated=False)
    recorder.run({1: 'a'}, evaluated=False, base=base, state=Execution.FAILED)
    model = recorder.run({1: 'a'}, evaluated=False, base=base, state=Execution.CACHED)

    first, second = nodes_of(recorder.store, {base.id})

    assert (first.kind, first.cached, first.output('model').id) == ('Trainer', False, base.id)
    assert (second.cached, second.output('model').id) == (True, model.id)
    assert [second.input('base_model').id, second.input('other')] == [base.id, None]
