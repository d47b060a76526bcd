import pytest
from metadata_recorder import Execution, Recorder
from tfx.types import standard_artifacts

from components.resolvers.spans import (
    PREVIOUS,
    STATISTICS,
    NewestSpansStrategy,
    PreviousSpanStatisticsStrategy,
)


class Runs:
    """Records runs in a metadata store: Examples, statistics and AnomalyGate."""

    def __init__(self):
        self.recorder = Recorder()
        self.statistics = []

    def run(self, span, gate=Execution.COMPLETE):
        """Records a run, without a gate if interrupted; returns the statistics."""
        values = {} if span is None else {'span': span}
        inputs = {'examples': [self.recorder.artifact('Examples', **values)]}
        outputs = {STATISTICS: [self.recorder.artifact('ExampleStatistics')]}
        self.recorder.execution('tfx.StatisticsGen', inputs, outputs, [])
        if gate is not None:
            name = 'components.anomaly_gate.component.AnomalyGate'
            self.recorder.execution(name, outputs, {}, [], gate)
        self.recorder.execution('tfx.ExampleValidator', outputs, {}, [])
        self.statistics.append(standard_artifacts.ExampleStatistics())
        self.statistics[-1].set_mlmd_artifact(*outputs[STATISTICS])
        return self.statistics[-1]

    def resolve(self, current):
        inputs, store = {STATISTICS: [current], PREVIOUS: self.statistics}, self.recorder.store
        resolved = PreviousSpanStatisticsStrategy().resolve_artifacts(store, inputs)
        assert resolved[STATISTICS] == [current]
        return resolved[PREVIOUS]


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


@pytest.mark.parametrize(
    ('gate', 'used'), [(Execution.FAILED, 1), (None, 1), (Execution.CACHED, 2)]
)
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
