"""Stops a run when the data does not fit the schema, or moved further than the recipe allows."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import List, TypedDict  # noqa: UP035

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from common.artifacts import folder_of
from common.errors import AnomaliesFound
from components.anomaly_gate.config import ValidationConfig
from components.anomaly_gate.statistics_comparison import Statistics, drift, skew

_DROPPED = 'Column dropped'  # TFDV's words for a feature that no record has

_log = logging.getLogger(__name__)


class GateResult(TypedDict):
    """What a gate that opened says: a clause for each thing that moved too far."""

    warnings: List[str]  # noqa: UP006  # TFX knows no list


@component
def AnomalyGate(
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    validation: Parameter[str],
    code: Parameter[str],  # part of the cache key
    previous_statistics: InputArtifact[standard_artifacts.ExampleStatistics] = None,
) -> GateResult:
    """Fails when ExampleValidator found anomalies in any split; compares what it lets through.

    Transform runs after this component, so nothing is trained on data that was not understood.

    Args:
        anomalies: of ExampleValidator.
        statistics: of the newest span.
        validation: a `ValidationConfig` as JSON.
        code: hash of the code of this component.
        previous_statistics: those of the span before, if there are any.
    """
    found = describe_anomalies(
        {
            split: _read(folder_of(anomalies.uri) / f'Split-{split}')
            for split in artifact_utils.decode_split_names(anomalies.split_names)
        }
    )
    if found:
        raise AnomaliesFound('the data does not fit the schema: ' + '; '.join(found))
    config = ValidationConfig.model_validate_json(validation)
    moved = _drift(statistics, previous_statistics, config)
    skewed = skew(_splits(statistics), config)
    warnings = [
        *(moved if config.on_drift == 'warn' else ()),
        *(skewed if config.on_skew == 'warn' else ()),
    ]
    for warning in warnings:
        _log.warning(warning)
    if len(warnings) < len(moved) + len(skewed):
        raise AnomaliesFound('; '.join(each for each in (*moved, *skewed) if each not in warnings))
    return {'warnings': warnings}


def _drift(
    statistics: standard_artifacts.ExampleStatistics,
    previous: standard_artifacts.ExampleStatistics | None,
    config: ValidationConfig,
) -> tuple[str, ...]:
    """What moved in the train split, which is the largest; the others are its like."""
    if previous is None:
        if statistics.span != 1:  # as images that do not come in spans are numbered
            _log.info(
                'no earlier span was looked at: span %s is compared with none', statistics.span
            )
        return ()
    new, before = (_splits(each)['train'] for each in (statistics, previous))
    return drift(statistics.span, new, before, config)


def _splits(artifact: standard_artifacts.ExampleStatistics) -> dict[str, Statistics]:
    names = artifact_utils.decode_split_names(artifact.split_names)
    return {name: stats_artifact_utils.load_statistics(artifact, name).proto() for name in names}


def describe_anomalies(anomalies: Mapping[str, anomalies_pb2.Anomalies]) -> list[str]:
    """One clause per anomaly, such as "train: image/height: Out-of-range values: ...".

    What is the same in several splits, or of several features, is one clause.

    Args:
        anomalies: by the names of the splits.
    """
    splits: dict[tuple[str, str], list[str]] = {}
    for split, found in anomalies.items():
        for name, info in sorted(found.anomaly_info.items()):
            key = (name or '/'.join(info.path.step), _words(info))
            splits.setdefault(key, []).append(split)
        if found.HasField('dataset_anomaly_info'):
            splits.setdefault(('', _words(found.dataset_anomaly_info)), []).append(split)
    names: dict[tuple[str, str], list[str]] = {}
    for (name, words), those in splits.items():
        names.setdefault((', '.join(those), words), []).append(name)
    return [
        ': '.join(filter(None, (those, ', '.join(of), words)))
        for (those, words), of in names.items()
    ]


def _words(info: anomalies_pb2.AnomalyInfo) -> str:
    if info.short_description == _DROPPED:
        return 'missing in every record'
    return f'{info.short_description}: {info.description}'


def _read(folder: Path) -> anomalies_pb2.Anomalies:
    return anomalies_pb2.Anomalies.FromString((folder / 'SchemaDiff.pb').read_bytes())
