import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import standard_artifacts

from common.errors import AnomaliesFound
from components.anomaly_gate.component import AnomalyGate, describe_anomalies


def anomalies_of(*names, short='Out-of-range values', text='Unexpectedly low: 8<16.'):
    anomalies = anomalies_pb2.Anomalies()
    for name in names:
        anomalies.anomaly_info[name].short_description = short
        anomalies.anomaly_info[name].description = text
    return anomalies


def test_merges_equal_anomalies_of_splits():
    lacking = anomalies_of('image/bytes', short='Column dropped', text='Column is missing')
    low = anomalies_of('image/width', 'image/height')

    assert describe_anomalies({'train': lacking, 'eval': lacking, 'test': low}) == [
        'train, eval: image/bytes: missing in every record',
        'test: image/height: Out-of-range values: Unexpectedly low: 8<16.',
        'test: image/width: Out-of-range values: Unexpectedly low: 8<16.',
    ]


def test_describes_anomalies_of_unnamed_feature_and_of_dataset():
    anomalies = anomalies_of('')
    anomalies.anomaly_info[''].path.step.extend(['image', 'depth'])
    anomalies.dataset_anomaly_info.short_description = 'Low num examples'
    anomalies.dataset_anomaly_info.description = 'only 3'

    feature, dataset = describe_anomalies({'test': anomalies})

    assert feature.startswith('test: image/depth: Out-of')
    assert dataset == 'test: Low num examples: only 3'


def test_fails_on_anomaly_in_any_split(tmp_path):
    artifact = standard_artifacts.ExampleAnomalies()
    artifact.uri, artifact.split_names = str(tmp_path), '["train", "eval"]'
    for split, found in {'train': anomalies_of(), 'eval': anomalies_of('image/height')}.items():
        (tmp_path / f'Split-{split}').mkdir()
        (tmp_path / f'Split-{split}' / 'SchemaDiff.pb').write_bytes(found.SerializeToString())
    execute = AnomalyGate.EXECUTOR_SPEC.executor_class._FUNCTION

    with pytest.raises(AnomaliesFound, match='does not fit the schema: eval: image/height: Out-of'):
        execute(anomalies=artifact, statistics=None, validation='{}')
