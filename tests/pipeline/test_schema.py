import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from common import features
from pipeline.schema import schema_for, write_schema

CLASSES = ('cats', 'dogs')


@pytest.fixture
def described():
    return {feature.name: feature for feature in schema_for(CLASSES).feature}


def test_labels_are_numbers_of_classes(described):
    label = described[features.LABEL].int_domain

    assert (label.min, label.max, label.is_categorical) == (0, 1, True)


def test_class_names_are_those_of_the_data(described):
    assert list(described[features.CLASS_NAME].string_domain.value) == ['cats', 'dogs']


def test_every_feature_of_an_example_is_described(described):
    assert set(described) == {
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


def test_one_set_of_classes_leaves_no_trace_in_the_next():
    schema_for(('a', 'b'))

    assert schema_for(CLASSES) == schema_for(CLASSES)
    assert 'value: "a"' not in text_format.MessageToString(schema_for(CLASSES))


def test_the_file_holds_the_schema(tmp_path):
    path = write_schema(CLASSES, tmp_path)

    assert text_format.Parse(path.read_text(), schema_pb2.Schema()) == schema_for(CLASSES)


def test_the_file_is_named_after_its_content(tmp_path):
    first = write_schema(CLASSES, tmp_path)

    assert write_schema(CLASSES, tmp_path) == first
    assert write_schema(('cats', 'foxes'), tmp_path) != first
