"""Statistics and anomalies of records, with StatisticsGen and the curated schema."""

import pytest
import tensorflow_data_validation as tfdv
from example_records import write_records
from tfx.components.statistics_gen.executor import Executor
from tfx.components.statistics_gen.stats_artifact_utils import load_statistics
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

from common import features
from components.anomaly_gate.component import describe_anomalies
from pipeline.schema import schema_for, statistics_options

MEASURES = {
    features.ASPECT: 1.5,
    features.BRIGHTNESS: 0.4,
    features.CONTRAST: 0.2,
    features.SHARPNESS: 6.0,
    features.COLOURFULNESS: 30.0,
}
RECORD = {
    features.IMAGE_BYTES: b'\xff\xd8',
    features.IMAGE_FORMAT: b'jpeg',
    features.LABEL: 1,
    features.CLASS_NAME: b'dogs',
    features.FILENAME: b'a.jpg',
    features.SHA256: b'0',
    features.HEIGHT: 200,
    features.WIDTH: 300,
    features.BYTES: 2,
    **MEASURES,
}
SPLITS = {
    'good': [RECORD] * 3,
    'odd': [RECORD, {**RECORD, features.BRIGHTNESS: 1.7, features.BYTES: 0}],
    'foreign': [{name: value for name, value in RECORD.items() if name not in MEASURES}],
    'patchy': [RECORD, {name: RECORD[name] for name in RECORD if name != features.CONTRAST}],
}


@pytest.fixture(scope='module')
def statistics(tmp_path_factory):
    """`statistics[split]`: statistics of the records in SPLITS."""
    folder = tmp_path_factory.mktemp('described')
    for split, records in SPLITS.items():
        write_records(folder / f'examples/Split-{split}/data_tfrecord-00000-of-00001', records)
    examples, described = standard_artifacts.Examples(), standard_artifacts.ExampleStatistics()
    examples.uri, described.uri = str(folder / 'examples'), str(folder / 'statistics')
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    context = BaseBeamExecutor.Context(beam_pipeline_args=[], tmp_dir=str(folder), unique_id='')
    Executor(context).Do(
        {'examples': [examples]},
        {'statistics': [described]},
        {'stats_options_json': statistics_options().to_json(), 'exclude_splits': 'null'},
    )
    return {split: load_statistics(described, split).proto() for split in SPLITS}


@pytest.fixture
def anomalies(statistics):
    """`anomalies(split)`: descriptions of its schema anomalies."""
    schema = schema_for(('cats', 'dogs'))

    def find(split):
        return describe_anomalies({split: tfdv.validate_statistics(statistics[split], schema)})

    return find


def test_statistics_exclude_bytes_file_name_and_hash(statistics):
    described = {feature.path.step[0] for feature in statistics['good'].datasets[0].features}

    assert described == set(RECORD) - {features.IMAGE_BYTES, features.FILENAME, features.SHA256}


def test_ingested_records_have_no_anomalies(anomalies):
    assert anomalies('good') == []


def test_reports_out_of_range_value(anomalies):
    clauses = anomalies('odd')

    assert clauses[0].startswith('odd: image/brightness: Out-of-range values: Unexpectedly high')
    assert '1.7>1' in clauses[0]
    assert clauses[1].startswith('odd: image/bytes: Out-of-range values')


def test_reports_features_missing_in_every_record(anomalies):
    names = ', '.join(sorted(MEASURES))

    assert anomalies('foreign') == [f'foreign: {names}: missing in every record']


def test_reports_feature_missing_in_some_records(anomalies):
    (clause,) = anomalies('patchy')

    assert clause.startswith('patchy: image/contrast: ')
    assert 'present in fewer examples than expected' in clause
