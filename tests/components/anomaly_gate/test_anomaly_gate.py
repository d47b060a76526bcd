import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import standard_artifacts

from common.errors import AnomaliesFound
from components.anomaly_gate.component import AnomalyGate, describe_anomalies


def height_out_of_range() -> anomalies_pb2.Anomalies:
    anomalies = anomalies_pb2.Anomalies()
    info = anomalies.anomaly_info['image/height']
    info.short_description = 'Out-of-range values'
    info.description = 'Unexpectedly low values: 8<16.'
    return anomalies


@pytest.fixture
def artifact(tmp_path):
    """Output of ExampleValidator for two splits without anomalies."""
    artifact = standard_artifacts.ExampleAnomalies()
    artifact.uri = str(tmp_path)
    artifact.split_names = '["train", "eval"]'
    for split in ('train', 'eval'):
        (tmp_path / f'Split-{split}').mkdir()
        (tmp_path / f'Split-{split}' / 'SchemaDiff.pb').touch()
    return artifact


def column_dropped(*names: str) -> anomalies_pb2.Anomalies:
    anomalies = anomalies_pb2.Anomalies()
    for name in names:
        anomalies.anomaly_info[name].short_description = 'Column dropped'
        anomalies.anomaly_info[name].description = 'Column is completely missing'
    return anomalies


def test_describes_split_feature_and_anomaly():
    assert describe_anomalies({'train': height_out_of_range()}) == [
        'train: image/height: Out-of-range values: Unexpectedly low values: 8<16.'
    ]


def test_sorts_anomalies_by_feature():
    anomalies = height_out_of_range()
    anomalies.anomaly_info['image/format'].short_description = 'Unexpected string values'

    first, second = describe_anomalies({'eval': anomalies})

    assert first.startswith('eval: image/format: Unexpected string values')
    assert second.startswith('eval: image/height: ')


def test_merges_equal_anomalies():
    lacking = column_dropped('image/brightness', 'image/contrast')

    assert describe_anomalies({'train': lacking, 'eval': lacking, 'test': lacking}) == [
        'train, eval, test: image/brightness, image/contrast: missing in every record'
    ]


def test_names_split_of_each_missing_feature():
    found = {'train': column_dropped('image/bytes'), 'eval': column_dropped('image/aspect')}

    assert describe_anomalies(found) == [
        'train: image/bytes: missing in every record',
        'eval: image/aspect: missing in every record',
    ]


def test_unnamed_feature_is_named_by_path():
    anomalies = anomalies_pb2.Anomalies()
    anomalies.anomaly_info[''].path.step.extend(['image', 'depth'])
    anomalies.anomaly_info[''].short_description = 'New column'

    (line,) = describe_anomalies({'test': anomalies})

    assert line.startswith('test: image/depth: New column')


def test_describes_dataset_anomaly():
    anomalies = anomalies_pb2.Anomalies()
    anomalies.dataset_anomaly_info.short_description = 'Low num examples'
    anomalies.dataset_anomaly_info.description = 'only 3'

    assert describe_anomalies({'eval': anomalies}) == ['eval: Low num examples: only 3']


def test_fails_on_anomaly_in_any_split(artifact, tmp_path):
    executor = AnomalyGate.EXECUTOR_SPEC.executor_class._FUNCTION
    found = height_out_of_range().SerializeToString()
    (tmp_path / 'Split-eval' / 'SchemaDiff.pb').write_bytes(found)

    with pytest.raises(AnomaliesFound, match='does not fit the schema: eval: image/height: Out-of'):
        executor(anomalies=artifact, statistics=None, validation='{}', code='1')
