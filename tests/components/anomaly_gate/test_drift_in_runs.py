"""AnomalyGate and its resolver in TFX runs."""

import io
import shutil
from pathlib import Path

import pytest
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx_runs import run_nodes

from common import console
from common.errors import RunError
from common.features import SPLITS
from components.anomaly_gate.component import AnomalyGate
from components.resolvers.spans import PREVIOUS
from pipeline.config.recipe import load_recipe
from pipeline.execution.outcome import read_warnings
from pipeline.resolver_nodes import previous_statistics

DARKER = 0.55


@component
def Ingest(examples: OutputArtifact[standard_artifacts.Examples], span: Parameter[int]):
    """Examples of a span, without records."""
    examples.set_int_custom_property('span', span)
    examples.span = span


@component
def Describe(
    examples: InputArtifact[standard_artifacts.Examples],
    statistics: OutputArtifact[standard_artifacts.ExampleStatistics],
    anomalies: OutputArtifact[standard_artifacts.ExampleAnomalies],
    folder: Parameter[str],
):
    """Copies statistics from a folder; writes no anomalies."""
    statistics.span = examples.span
    statistics.split_names = anomalies.split_names = artifact_utils.encode_split_names(list(SPLITS))
    for split in SPLITS:
        for artifact in (statistics, anomalies):
            Path(artifact.uri, f'Split-{split}').mkdir()
        shutil.copy(f'{folder}/{split}', f'{statistics.uri}/Split-{split}/FeatureStats.pb')
        Path(anomalies.uri, f'Split-{split}', 'SchemaDiff.pb').touch()


class Runs:
    """Runs of one recipe."""

    def __init__(self, folder, statistics_of):
        self._folder, self._statistics_of = folder, statistics_of
        self.output = ''

    def run(self, span, darker=1.0, **validation):
        """Runs the pipeline up to AnomalyGate; returns its warnings."""
        recipe = load_recipe('demo', [('workdir', str(self._folder)), ('validation', validation)])
        folder = self._folder / f'span-{span}'
        folder.mkdir(exist_ok=True)
        for seed, split in enumerate(SPLITS):
            found = self._statistics_of(seed=10 * span + seed, darker=darker)
            (folder / split).write_bytes(found.SerializeToString())
        ingest = Ingest(span=span)
        described = Describe(examples=ingest.outputs['examples'], folder=str(folder))
        previous = previous_statistics(described)
        gate = AnomalyGate(
            anomalies=described.outputs['anomalies'],
            statistics=described.outputs['statistics'],
            validation=recipe.validation.model_dump_json(),
            **{PREVIOUS: previous.outputs[PREVIOUS]},
        )
        stream = io.StringIO()
        with console.output_to(stream):
            try:
                results = run_nodes(self._folder, ingest, described, previous, gate)
            finally:
                self.output = stream.getvalue()
        return read_warnings(results)


@pytest.fixture
def runs(tmp_path, statistics_of):
    return Runs(tmp_path, statistics_of)


def test_warns_of_drift_from_previous_span(runs):
    assert runs.run(3, darker=DARKER) == ()
    assert 'span 3: no previous statistics, drift not checked\n' in runs.output

    (warning,) = runs.run(4)
    assert warning.startswith('brightness of span 4 moved by 0.')
    assert warning in runs.output
    assert 'no previous statistics' not in runs.output

    assert runs.run(4) == (warning,)
    assert 'AnomalyGate cached' in runs.output
    assert runs.run(5) == ()


def test_stopped_span_stops_again_and_is_no_reference(runs):
    runs.run(1, on_drift='stop')
    assert 'span' not in runs.output  # images without spans

    for span in (2, 2, 3):
        with pytest.raises(RunError, match=f'^AnomalyGate failed: brightness of span {span} moved'):
            runs.run(span, darker=DARKER, on_drift='stop')
