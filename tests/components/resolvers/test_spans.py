import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.types import standard_artifacts

from components.resolvers.spans import (
    PREVIOUS,
    STATISTICS,
    NewestSpansStrategy,
    PreviousSpanStatisticsStrategy,
)

COMPLETE, FAILED, CACHED = (
    getattr(metadata_store_pb2.Execution, state) for state in ('COMPLETE', 'FAILED', 'CACHED')
)


class Runs:
    """Records runs in a metadata store: Examples, statistics and AnomalyGate."""

    def __init__(self):
        config = metadata_store_pb2.ConnectionConfig()
        config.fake_database.SetInParent()
        self.store = mlmd.MetadataStore(config)
        self.statistics = []

    def run(self, span, gate=COMPLETE):
        """Records a run, without a gate if interrupted; returns the statistics."""
        values = {} if span is None else {'span': span}
        examples, made = self._artifact('Examples', **values), self._artifact('ExampleStatistics')
        inputs, outputs = {'examples': examples}, {STATISTICS: made}
        self._execution('tfx.StatisticsGen', COMPLETE, inputs, outputs)
        if gate is not None:
            self._execution('components.anomaly_gate.component.AnomalyGate', gate, outputs, {})
        self._execution('tfx.ExampleValidator', COMPLETE, outputs, {})
        artifact = standard_artifacts.ExampleStatistics()
        artifact.set_mlmd_artifact(made)
        self.statistics.append(artifact)
        return artifact

    def resolve(self, current):
        inputs = {STATISTICS: [current], PREVIOUS: self.statistics}
        resolved = PreviousSpanStatisticsStrategy().resolve_artifacts(self.store, inputs)
        assert resolved[STATISTICS] == [current]
        return resolved[PREVIOUS]

    def _artifact(self, kind, **values):
        type_id = self.store.put_artifact_type(metadata_store_pb2.ArtifactType(name=kind))
        artifact = metadata_store_pb2.Artifact(type_id=type_id)
        for key, value in values.items():
            artifact.custom_properties[key].int_value = value
        (key,) = self.store.put_artifacts([artifact])
        (stored,) = self.store.get_artifacts_by_id([key])
        return stored

    def _execution(self, kind, state, inputs, outputs):
        type_id = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name=kind))
        execution = metadata_store_pb2.Execution(type_id=type_id, last_known_state=state)
        event = metadata_store_pb2.Event
        pairs = []
        for event_type, artifacts in ((event.INPUT, inputs), (event.OUTPUT, outputs)):
            for key, artifact in artifacts.items():
                path = event.Path(steps=[event.Path.Step(key=key)])
                pairs.append((artifact, event(type=event_type, path=path)))
        self.store.put_execution(execution, pairs, [])


@pytest.fixture
def runs():
    return Runs()


@pytest.mark.parametrize(
    ('earlier', 'newest', 'expected'),
    [
        pytest.param([], 1, None, id='first span'),
        pytest.param([8, 9], 10, 1, id='previous span'),
        pytest.param([1, 2], 2, 0, id='not the same span'),
        pytest.param([5, 3], 4, 1, id='not a higher span'),
        pytest.param([3, 3], 4, 1, id='latest statistics of a changed span'),
        pytest.param([1], None, None, id='newest examples without a span'),
        pytest.param([None], 2, None, id='earlier examples without a span'),
    ],
)
def test_resolves_previous_span(runs, earlier, newest, expected):
    statistics = [runs.run(span) for span in earlier]

    resolved = runs.resolve(runs.run(newest, gate=None))

    assert resolved == ([] if expected is None else [statistics[expected]])


@pytest.mark.parametrize(('gate', 'used'), [(FAILED, 1), (None, 1), (CACHED, 2)])
def test_ignores_span_that_did_not_pass_the_gate(runs, gate, used):
    statistics = {1: runs.run(1), 2: runs.run(2, gate=gate)}

    assert runs.resolve(runs.run(3, gate=None)) == [statistics[used]]


def test_resolves_newest_spans_per_channel():
    examples = [standard_artifacts.Examples() for _ in range(3)]
    for number, each in zip((2, 10, 9), examples, strict=True):
        each.set_int_custom_property('span', number)
    strategy = NewestSpansStrategy({'newest': 1, 'evaluated': 2})

    resolved = strategy.resolve_artifacts(None, {'newest': examples, 'evaluated': examples})

    assert resolved == {'newest': [examples[1]], 'evaluated': [examples[1], examples[2]]}
