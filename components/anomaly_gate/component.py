"""AnomalyGate component: stops a run on schema anomalies, drift or skew above the threshold."""

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

_DROPPED = 'Column dropped'  # TFDV's description of a feature that every record lacks

_log = logging.getLogger(__name__)


class GateResult(TypedDict):
    """Output parameters of AnomalyGate: one clause per drift or skew above its threshold."""

    warnings: List[str]  # noqa: UP006  # TFX does not accept list


@component
def AnomalyGate(
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    validation: Parameter[str],
    code: Parameter[str],  # part of the cache key
    previous_statistics: InputArtifact[standard_artifacts.ExampleStatistics] = None,
) -> GateResult:
    """Fails on anomalies in any split, and on drift or skew if the recipe says `stop`.

    Transform runs after this component, so no model is trained on invalid data.

    Args:
        anomalies: output of ExampleValidator.
        statistics: statistics of the newest span.
        validation: `ValidationConfig` as JSON.
        code: hash of the component's source.
        previous_statistics: statistics of the previous span, if any.

    Raises:
        AnomaliesFound: there are anomalies, or drift or skew that stops the run.
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
    found_by_action: dict[str, list[str]] = {'warn': [], 'stop': []}
    found_by_action[config.on_drift] += _drift(statistics, previous_statistics, config)
    found_by_action[config.on_skew] += skew(_splits(statistics), config)
    for warning in found_by_action['warn']:
        _log.warning(warning)
    if found_by_action['stop']:
        raise AnomaliesFound('; '.join(found_by_action['stop']))
    return {'warnings': found_by_action['warn']}


def _drift(
    statistics: standard_artifacts.ExampleStatistics,
    previous: standard_artifacts.ExampleStatistics | None,
    config: ValidationConfig,
) -> tuple[str, ...]:
    """Drift of the train split, which is the largest."""
    if previous is None:
        if statistics.span != 1:  # the span of images without spans
            _log.info('span %s: no previous statistics, drift not checked', statistics.span)
        return ()
    new, before = (_splits(each)['train'] for each in (statistics, previous))
    return drift(statistics.span, new, before, config)


def _splits(artifact: standard_artifacts.ExampleStatistics) -> dict[str, Statistics]:
    names = artifact_utils.decode_split_names(artifact.split_names)
    return {name: stats_artifact_utils.load_statistics(artifact, name).proto() for name in names}


def describe_anomalies(anomalies: Mapping[str, anomalies_pb2.Anomalies]) -> list[str]:
    """One clause per anomaly, such as "train: image/height: Out-of-range values: ...".

    Equal anomalies of several splits or features are merged into one clause.

    Args:
        anomalies: anomalies by split name.
    """
    splits: dict[tuple[str, str], list[str]] = {}
    for split, found in anomalies.items():
        for name, info in sorted(found.anomaly_info.items()):
            key = (name or '/'.join(info.path.step), _description(info))
            splits.setdefault(key, []).append(split)
        if found.HasField('dataset_anomaly_info'):
            splits.setdefault(('', _description(found.dataset_anomaly_info)), []).append(split)
    names: dict[tuple[str, str], list[str]] = {}
    for (name, text), split_names in splits.items():
        names.setdefault((', '.join(split_names), text), []).append(name)
    return [
        ': '.join(filter(None, (split_names, ', '.join(features), text)))
        for (split_names, text), features in names.items()
    ]


def _description(info: anomalies_pb2.AnomalyInfo) -> str:
    if info.short_description == _DROPPED:
        return 'missing in every record'
    return f'{info.short_description}: {info.description}'


def _read(folder: Path) -> anomalies_pb2.Anomalies:
    return anomalies_pb2.Anomalies.FromString((folder / 'SchemaDiff.pb').read_bytes())
