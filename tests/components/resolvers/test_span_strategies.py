import json
from pathlib import Path

import pytest
from metadata_recorder import Execution, Recorder
from tfx.types import standard_artifacts

from components.resolvers.spans import (
    PREVIOUS,
    STATISTICS,
    PreviousSpanStatisticsStrategy,
    SpanSelectionStrategy,
)


class Runs:
    """Records runs in a metadata store: Examples, statistics and AnomalyGate."""

    def __init__(self):
        self.recorder = Recorder()
        self.statistics = []

    def run(self, span, gate=Execution.COMPLETE):
        """Records a run, without a gate if interrupted; returns the statistics."""
        outputs = {STATISTICS: [self.recorder.artifact('ExampleStatistics')]}
        self.recorder.execution('tfx.StatisticsGen', {}, outputs, [])
        if gate is not None:
            name = 'components.anomaly_gate.component.AnomalyGate'
            self.recorder.execution(name, outputs, {}, [], gate)
        self.recorder.execution('tfx.ExampleValidator', outputs, {}, [])
        self.statistics.append(standard_artifacts.ExampleStatistics())
        self.statistics[-1].set_mlmd_artifact(*outputs[STATISTICS])
        self.statistics[-1].span = span
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


@pytest.mark.parametrize(
    ('test_window', 'min_test_images', 'evaluated'),
    [(1, 1, [4]), (1, 10, [4]), (1, 11, [4, 3]), (2, 25, [4, 3, 2]), (1, 99, [4, 3, 2])],
)
def test_selects_spans(tmp_path, test_window, min_test_images, evaluated):
    """Ten test images per span; span 2 is older than the window."""
    examples = [standard_artifacts.Examples() for _ in range(3)]
    for number, each in zip((2, 4, 3), examples, strict=True):
        each.uri = str(tmp_path / f'span-{number}')
        each.span = number
        Path(each.uri).mkdir()
        counts = {'train': {'cats': 9}, 'test': {'cats': 6, 'dogs': 4}}
        Path(each.uri, 'manifest.json').write_text(json.dumps({'counts': counts}))
    examples[0].set_int_custom_property('judged_only', 1)
    strategy = SpanSelectionStrategy(test_window, min_test_images)

    keys = ('trained', 'newest', 'evaluated')
    resolved = strategy.resolve_artifacts(None, dict.fromkeys(keys, examples))

    numbers = {key: [each.span for each in spans] for key, spans in resolved.items()}
    assert numbers == {'trained': [3, 4], 'newest': [4], 'evaluated': evaluated}
