import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from common import features
from pipeline.schema import schema_for, write_schema

CLASSES = ('cats', 'dogs')


@pytest.fixture
def schema_features():
    return {feature.name: feature for feature in schema_for(CLASSES).feature}


def test_label_range_covers_classes(schema_features):
    label = schema_features[features.LABEL].int_domain

    assert (label.min, label.max, label.is_categorical) == (0, 1, True)


def test_class_name_domain_holds_classes(schema_features):
    assert list(schema_features[features.CLASS_NAME].string_domain.value) == ['cats', 'dogs']


def test_schema_has_every_feature_of_an_example(schema_features):
    assert set(schema_features) == {
        features.IMAGE_BYTES,
        features.IMAGE_FORMAT,
        features.LABEL,
        features.CLASS_NAME,
        features.FILENAME,
        features.HEIGHT,
        features.WIDTH,
        features.SHA256,
        features.ASPECT,
        features.BYTES,
        features.BRIGHTNESS,
        features.CONTRAST,
        features.SHARPNESS,
        features.COLOURFULNESS,
        features.SOURCE,
    }


def test_schemas_do_not_share_state():
    schema_for(('a', 'b'))

    assert schema_for(CLASSES) == schema_for(CLASSES)
    assert 'value: "a"' not in text_format.MessageToString(schema_for(CLASSES))


def test_schema_file_round_trips(tmp_path):
    path = write_schema(CLASSES, tmp_path)

    assert text_format.Parse(path.read_text(), schema_pb2.Schema()) == schema_for(CLASSES)


def test_schema_path_depends_on_content(tmp_path):
    first = write_schema(CLASSES, tmp_path)

    assert write_schema(CLASSES, tmp_path) == first
    assert write_schema(('cats', 'foxes'), tmp_path) != first
