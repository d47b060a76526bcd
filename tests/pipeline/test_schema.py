from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from common import features
from pipeline.schema import schema_for, write_schema

CLASSES = ('cats', 'dogs')


def test_schema_has_the_classes():
    schema = {feature.name: feature for feature in schema_for(CLASSES).feature}

    label = schema[features.LABEL].int_domain
    assert (label.min, label.max, label.is_categorical) == (0, 1, True)
    assert list(schema[features.CLASS_NAME].string_domain.value) == ['cats', 'dogs']


def test_schema_file_is_named_after_its_content(tmp_path):
    first = write_schema(CLASSES, tmp_path)

    assert text_format.Parse(first.read_text(), schema_pb2.Schema()) == schema_for(CLASSES)
    assert write_schema(('cats', 'foxes'), tmp_path) != first
    assert write_schema(CLASSES, tmp_path) == first
