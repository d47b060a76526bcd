"""AnomalyGate and its resolver in TFX runs."""

import io
from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.pipeline import Pipeline
from tfx.types import artifact_utils, standard_artifacts

from common import console
from common.errors import RunError
from common.features import SPLITS
from pipeline.config.recipe import load_recipe
from pipeline.execution.outcome import read_warnings
from pipeline.graph import _anomaly_gate
from pipeline.local.runner import ProgressDagRunner
from pipeline.resolver_nodes import DEFAULT_RESOLVERS, previous_statistics

DARKER, DOGS_IN_TEST = 0.55, 0.9


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
    for artifact in (statistics, anomalies):
        artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
    for split in SPLITS:
        found = tfdv.load_stats_text(f'{folder}/{split}')
        _file(statistics, split, 'FeatureStats.pb').write_bytes(found.SerializeToString())
        _file(anomalies, split, 'SchemaDiff.pb').touch()


def _file(artifact, split, name):
    path = Path(artifact.uri, f'Split-{split}', name)
    path.parent.mkdir(parents=True)
    return path


class Runs:
    """Runs of one recipe."""

    def __init__(self, folder, statistics_of):
        self._folder, self._statistics_of = folder, statistics_of
        self.output = ''

    def run(self, span, darker=1.0, dogs_in_test=0.5, **validation):
        """Runs the pipeline up to AnomalyGate; returns its warnings."""
        changes = [('workdir', str(self._folder)), ('validation', validation)]
        recipe = load_recipe('demo', changes)
        folder = self._folder / f'span-{span}'
        folder.mkdir(exist_ok=True)
        for seed, split in enumerate(SPLITS):
            dogs = dogs_in_test if split == 'test' else 0.5
            found = self._statistics_of(seed=10 * span + seed, darker=darker, dogs=dogs)
            tfdv.write_stats_text(found, str(folder / split))
        runner, stream = ProgressDagRunner(), io.StringIO()
        with console.output_to(stream):
            try:
                runner.run(self._pipeline(recipe, span, folder))
            finally:
                self.output = stream.getvalue()
        return read_warnings(runner.results)

    def _pipeline(self, recipe, span, folder):
        ingest = Ingest(span=span)
        described = Describe(examples=ingest.outputs['examples'], folder=str(folder))
        previous = previous_statistics(DEFAULT_RESOLVERS, described)
        gate = _anomaly_gate(recipe, described, described, previous)
        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = str(self._folder / 'metadata.sqlite')
        connection.sqlite.connection_mode = 3  # READWRITE_OPENCREATE
        return Pipeline(
            'demo',
            str(self._folder),
            components=[ingest, described, previous, gate],
            metadata_connection_config=connection,
            enable_cache=True,
        )


@pytest.fixture
def runs(tmp_path, statistics_of):
    return Runs(tmp_path, statistics_of)


def test_warns_of_drift_from_previous_span(runs):
    assert runs.run(3, darker=DARKER) == ()
    assert '  span 3: no previous statistics, drift not checked\n' in runs.output

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


def test_skew_warns_or_stops(runs):
    sentence = 'class balance of test differs from train by 0.40 (limit 0.1)'

    assert runs.run(1, dogs_in_test=DOGS_IN_TEST) == (sentence,)
    with pytest.raises(RunError) as failed:
        runs.run(2, darker=DARKER, dogs_in_test=DOGS_IN_TEST, on_skew='stop')
    assert str(failed.value) == f'AnomalyGate failed: {sentence}'
    assert 'brightness of span 2 moved' in runs.output
