from ml_metadata.proto.metadata_store_pb2 import Artifact, Event, Execution

from common.metadata_queries import (
    INPUTS,
    artifacts_by_id,
    component_class,
    custom_property,
    events_of_executions,
    set_custom_properties,
)


class Store:
    """Store with every artifact and event; records the sizes of requests."""

    def __init__(self):
        self.requests = []

    def get_artifacts_by_id(self, ids):
        self.requests.append(len(ids))
        return [Artifact(id=each) for each in ids]

    def get_events_by_execution_ids(self, ids):
        types = (Event.INPUT, Event.INTERNAL_INPUT, Event.OUTPUT)
        return [Event(execution_id=each, type=kind) for each in ids for kind in types]


def test_splits_requests_into_chunks():
    store = Store()
    assert list(artifacts_by_id(store, range(1, 1202))) == list(range(1, 1202))
    assert store.requests == [500, 500, 201]


def test_sends_no_request_without_ids():
    store = Store()
    assert artifacts_by_id(store, []) == {}
    assert store.requests == []


def test_filters_events_by_type():
    events = events_of_executions(Store(), [3], INPUTS)
    assert [each.type for each in events] == [Event.INPUT, Event.INTERNAL_INPUT]


def test_custom_property_round_trip():
    execution = Execution()
    set_custom_properties(execution, {'version': 3, 'reason': 'slow'})
    assert custom_property(execution, 'version') == 3
    assert custom_property(execution, 'reason') == 'slow'
    assert custom_property(execution, 'person') is None
    assert custom_property(None, 'version') is None


def test_component_class_is_last_part_of_type():
    assert component_class(Execution(type='tfx.components.trainer.component.Trainer')) == 'Trainer'
