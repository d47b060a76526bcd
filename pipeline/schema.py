"""The curated schema, completed with the classes of the data."""

import hashlib
from pathlib import Path

import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from common import features

_CURATED = Path(__file__).with_name('schema.pbtxt')


def schema_for(classes: tuple[str, ...]) -> schema_pb2.Schema:
    """Returns the curated schema, completed with the label range and the class names."""
    schema = _curated()
    for feature in schema.feature:
        if feature.name == features.LABEL:
            feature.int_domain.min, feature.int_domain.max = 0, len(classes) - 1
        elif feature.name == features.CLASS_NAME:
            feature.string_domain.value.extend(classes)
    return schema


def write_schema(classes: tuple[str, ...], directory: Path) -> Path:
    """Writes the schema to a path that contains the hash of its content.

    The cache key of ImportSchemaGen has the path of the file, not its content.
    """
    text = text_format.MessageToString(schema_for(classes))
    path = directory / hashlib.sha256(text.encode()).hexdigest()[:12] / 'schema.pbtxt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def statistics_options() -> tfdv.StatsOptions:
    """Options of StatisticsGen: only features with a `presence` in the schema are read.

    Image bytes, file name and SHA-256 have none: their statistics are meaningless and expensive. A
    feature allowlist would decode every feature first. Sketches for top-k values save a third of
    the Beam transforms; counts are exact while there are fewer values than a sketch holds.
    """
    described = [
        schema_pb2.Feature(name=feature.name, type=feature.type)
        for feature in _curated().feature
        if feature.HasField('presence')
    ]
    return tfdv.StatsOptions(
        schema=schema_pb2.Schema(feature=described),
        experimental_filter_read_paths=True,
        use_sketch_based_topk_uniques=True,
    )


def _curated() -> schema_pb2.Schema:
    return text_format.Parse(_CURATED.read_text(), schema_pb2.Schema())
