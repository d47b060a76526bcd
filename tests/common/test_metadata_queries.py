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
    """Knows all artifacts and events that are asked for; keeps the sizes of the requests."""

    def __init__(self):
        self.requests = []

    def get_artifacts_by_id(self, ids):
        self.requests.append(len(ids))
        return [Artifact(id=each) for each in ids]

    def get_events_by_execution_ids(self, ids):
        types = (Event.INPUT, Event.INTERNAL_INPUT, Event.OUTPUT)
        return [Event(execution_id=each, type=kind) for each in ids for kind in types]


def test_no_request_has_more_than_500_ids():
    store = Store()
    assert list(artifacts_by_id(store, range(1, 1202))) == list(range(1, 1202))
    assert store.requests == [500, 500, 201]


def test_nothing_is_requested_for_no_ids():
    store = Store()
    assert artifacts_by_id(store, []) == {}
    assert store.requests == []


def test_events_are_those_of_the_types():
    events = events_of_executions(Store(), [3], INPUTS)
    assert [each.type for each in events] == [Event.INPUT, Event.INTERNAL_INPUT]


def test_custom_properties_are_read_as_they_were_set():
    execution = Execution()
    set_custom_properties(execution, {'version': 3, 'reason': 'slow'})
    assert custom_property(execution, 'version') == 3
    assert custom_property(execution, 'reason') == 'slow'
    assert custom_property(execution, 'person') is None
    assert custom_property(None, 'version') is None


def test_the_class_of_a_component_is_the_end_of_its_type():
    assert component_class(Execution(type='tfx.components.trainer.component.Trainer')) == 'Trainer'
