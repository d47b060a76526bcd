"""Stops a run when the data is not what the schema says."""

from pathlib import Path
from typing import TypedDict

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from trainer.folders import folder_of


class AnomaliesFound(ValueError):
    """The data does not fit the schema; the message names every anomaly."""


class GateResult(TypedDict):
    """What a gate that opened says."""

    anomalies_found: int


@component
def AnomalyGate(
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
) -> GateResult:
    """Fails when ExampleValidator found anomalies in any split.

    Transform runs after this component, so nothing is trained on data that was not understood.
    """
    found = [
        line
        for split in artifact_utils.decode_split_names(anomalies.split_names)
        for line in describe_anomalies(split, _read(folder_of(anomalies.uri) / f'Split-{split}'))
    ]
    if found:
        raise AnomaliesFound('the data does not fit the schema: ' + '; '.join(found))
    return {'anomalies_found': 0}


def describe_anomalies(split: str, anomalies: anomalies_pb2.Anomalies) -> list[str]:
    """One clause per anomaly, such as "train: image/height: Out-of-range values: ..."."""
    found = [
        f'{split}: {name or "/".join(info.path.step)}: {info.short_description}: {info.description}'
        for name, info in sorted(anomalies.anomaly_info.items())
    ]
    if anomalies.HasField('dataset_anomaly_info'):
        info = anomalies.dataset_anomaly_info
        found.append(f'{split}: {info.short_description}: {info.description}')
    return found


def _read(folder: Path) -> anomalies_pb2.Anomalies:
    return anomalies_pb2.Anomalies.FromString((folder / 'SchemaDiff.pb').read_bytes())
