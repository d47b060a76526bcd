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
NOT_DESCRIBED = {
    features.IMAGE_BYTES: b'\xff\xd8',
    features.FILENAME: b'a.jpg',
    features.SHA256: b'0',
}
RECORD = {
    **NOT_DESCRIBED,
    features.IMAGE_FORMAT: b'jpeg',
    features.LABEL: 1,
    features.CLASS_NAME: b'dogs',
    features.HEIGHT: 200,
    features.WIDTH: 300,
    features.BYTES: 2,
    **MEASURES,
}


def without(*names):
    return {**RECORD, **dict.fromkeys(names)}


# Records by split, and the beginnings of the anomalies that they have.
SPLITS = {
    'good': ([RECORD] * 3, []),
    'odd': (
        [RECORD, {**RECORD, features.BRIGHTNESS: 1.7, features.BYTES: 0}],
        [
            'odd: image/brightness: Out-of-range values: Unexpectedly high value: 1.7>1',
            'odd: image/bytes: Out-of-range values',
        ],
    ),
    'foreign': (
        [without(*MEASURES)],
        [f'foreign: {name}: missing in every record' for name in sorted(MEASURES)],
    ),
    'patchy': ([RECORD, without(features.CONTRAST)], ['patchy: image/contrast: ']),
}


@pytest.fixture(scope='module')
def statistics(tmp_path_factory):
    """`statistics[split]`: statistics of the records in SPLITS."""
    folder = tmp_path_factory.mktemp('described')
    for split, (records, _) in SPLITS.items():
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


def test_statistics_exclude_bytes_file_name_and_hash(statistics):
    described = {feature.path.step[0] for feature in statistics['good'].datasets[0].features}
    assert described == set(RECORD) - set(NOT_DESCRIBED)


@pytest.mark.parametrize('split', SPLITS)
def test_reports_values_out_of_range_and_missing_features(statistics, split):
    found = tfdv.validate_statistics(statistics[split], schema_for(('cats', 'dogs')))
    clauses = describe_anomalies({split: found})
    for clause, expected in zip(clauses, SPLITS[split][1], strict=True):
        assert clause.startswith(expected)
