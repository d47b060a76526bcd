"""Queries of ML Metadata. Imports no TFX."""

from typing import Any

from ml_metadata.proto import metadata_store_pb2


def custom(of: metadata_store_pb2.Artifact | metadata_store_pb2.Execution | None, key: str) -> Any:
    """A custom property's value; None if there is none."""
    value = of.custom_properties.get(key) if of else None
    return None if value is None else getattr(value, value.WhichOneof('value'))
