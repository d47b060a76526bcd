"""AnomalyGate component: stops a run on schema anomalies, drift or skew above the threshold."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import List, TypedDict  # noqa: UP035

from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from common.artifacts import folder_of
from common.errors import AnomaliesFound
from components.anomaly_gate.config import ValidationConfig
from components.anomaly_gate.statistics_comparison import Statistics, drift, skew

_FIRST_SPAN = 1  # of images without spans
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
    previous_statistics: InputArtifact[standard_artifacts.ExampleStatistics] = None,
) -> GateResult:
    """Fails on anomalies in any split, and on drift or skew if the recipe says `stop`.

    No model trained on invalid data is evaluated: that waits for this component. `statistics` are
    those of the newest span, `validation` is a `ValidationConfig` as JSON.

    Raises:
        AnomaliesFound: there are anomalies, or drift or skew that stops the run.
    """
    by_split = {}
    for split in artifact_utils.decode_split_names(anomalies.split_names):
        file = folder_of(anomalies.uri) / f'Split-{split}' / 'SchemaDiff.pb'
        by_split[split] = Anomalies.FromString(file.read_bytes())
    if clauses := describe_anomalies(by_split):
        raise AnomaliesFound('the data does not fit the schema: ' + '; '.join(clauses))
    config, new = ValidationConfig.model_validate_json(validation), _load(statistics)
    found: dict[str, list[str]] = {'warn': [], 'stop': []}
    if previous_statistics:
        before = _load(previous_statistics)['train']  # the largest split
        found[config.on_drift] += drift(statistics.span, new['train'], before, config)
    elif statistics.span != _FIRST_SPAN:
        _log.info('span %s: no previous statistics, drift not checked', statistics.span)
    found[config.on_skew] += skew(new, config)
    for warning in found['warn']:
        _log.warning(warning)
    if found['stop']:
        raise AnomaliesFound('; '.join(found['stop']))
    return {'warnings': found['warn']}


def describe_anomalies(anomalies: Mapping[str, Anomalies]) -> list[str]:
    """One clause per anomaly, such as "train, eval: image/height: Out-of-range values: ..."."""
    splits = defaultdict(list)
    for split, found in anomalies.items():
        infos = [
            (name or '/'.join(info.path.step), info)
            for name, info in sorted(found.anomaly_info.items())
        ]
        if found.HasField('dataset_anomaly_info'):
            infos.append(('', found.dataset_anomaly_info))
        for name, info in infos:
            text = f'{info.short_description}: {info.description}'
            if info.short_description == _DROPPED:
                text = 'missing in every record'
            splits[': '.join(filter(None, (name, text)))].append(split)
    return [f'{", ".join(found_in)}: {clause}' for clause, found_in in splits.items()]


def _load(artifact: standard_artifacts.ExampleStatistics) -> dict[str, Statistics]:
    names = artifact_utils.decode_split_names(artifact.split_names)
    return {name: stats_artifact_utils.load_statistics(artifact, name).proto() for name in names}
