"""ExampleGen for labelled images: from a source to `Examples`, one artifact per span."""

import itertools
import json
import logging
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, Channel, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from common import features
from common.artifacts import folder_of
from common.errors import DataError
from common.features import FINGERPRINT, SPAN
from components.cache_key_driver import CacheKeyDriver
from components.image_example_gen.ingestion.quarantine import Quarantine, read_quarantined
from components.image_example_gen.ingestion.span import (
    FORMAT,
    Counts,
    Ingested,
    ingest_span,
    link_span,
)
from components.image_example_gen.ingestion.tally import Tally, describe_bad
from components.image_example_gen.ingestion.transforms import ExamineImages
from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.spans import Span, open_window

EXAMPLES, QUARANTINE = 'examples', 'quarantine'

_log = logging.getLogger(__name__)


class ImageExampleGenSpec(ComponentSpec):
    """What goes in and out."""

    PARAMETERS = {  # noqa: RUF012
        'data': ExecutionParameter(type=str),
        'record_format': ExecutionParameter(type=int),  # part of the cache's key
    }
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS = {  # noqa: RUF012
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        QUARANTINE: ChannelParameter(type=Quarantine),
    }


class ImageExampleGenDriver(CacheKeyDriver):
    """Looks which spans there are."""

    output = EXAMPLES

    def external_state(self, execution_info: ExecutionInfo) -> dict[str, str]:
        return {FINGERPRINT: _fingerprints(open_window(_data(execution_info.exec_properties)))}


class ImageExampleGenExecutor(BaseExampleGenExecutor):
    """Writes the records of each span, or links those that an earlier run has written."""

    def GetInputSourceToExamplePTransform(self) -> type[beam.PTransform]:
        return ExamineImages

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Puts an artifact for each span in the place of the one that TFX has prepared.

        Raises:
            DataError: too many images cannot be used, a span changed meanwhile, or there are too
                few images for the splits.
        """
        config = _data(exec_properties)
        (prepared,), (quarantine,) = output_dict[EXAMPLES], output_dict[QUARANTINE]
        window = open_window(config)
        noted = prepared.get_string_custom_property(FINGERPRINT)
        if noted and noted != _fingerprints(window):  # none where no driver runs, as on Vertex AI
            raise DataError(f'the images in {config.path} change while they are read; start again')
        output_dict[EXAMPLES] = [_artifact(prepared, span) for span in window]
        self._ingest(config, window, folder_of(prepared.uri), folder_of(quarantine.uri))

    def _ingest(
        self, config: DataConfig, window: Sequence[Span], records: Path, quarantine: Path
    ) -> None:
        ingested = _linked(config, window, records, quarantine)
        for span in window:
            known = span.number in ingested
            if len(window) > 1:
                how = 'as ingested before' if known else 'new'
                _log.info('span %s: %s images, %s', span.number, span.source.count, how)
            if not known:
                targets = records / f'span-{span.number}', quarantine / f'span-{span.number}'
                ingested[span.number] = ingest_span(
                    span.source, config, list(ingested.values()), *targets, self._make_beam_pipeline
                )
            tally = ingested[span.number].tally
            if tally.clauses():
                _log.info('of %s images: %s', tally.seen, '; '.join(tally.clauses()))
        tallies = {f'span-{span.number}': ingested[span.number].tally for span in window}
        require_few_bad(tallies, config.checks.max_bad_share, quarantine)
        counts = [ingested[span.number].counts for span in window]
        require_every_class(counts, config.test_window)


class ImageExampleGen(BaseBeamComponent):
    """Ingests the newest spans of labelled images.

    Its output `examples` has one artifact per span, oldest first, with the splits train, eval and
    test in TFRecords of canonical `tf.Example`s (`common.features`), and the properties `span` and
    `input_fingerprint`, which changes when the images change. Its output `quarantine` lists the
    images that were set aside, and why.
    """

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = BeamExecutorSpec(ImageExampleGenExecutor)
    DRIVER_CLASS = ImageExampleGenDriver

    def __init__(self, data: DataConfig) -> None:
        outputs = {
            EXAMPLES: Channel(type=standard_artifacts.Examples),
            QUARANTINE: Channel(type=Quarantine),
        }
        spec = ImageExampleGenSpec(data=data.model_dump_json(), record_format=FORMAT, **outputs)
        super().__init__(spec)


def _linked(
    config: DataConfig, window: Sequence[Span], records: Path, quarantine: Path
) -> dict[int, Ingested]:
    """The spans that earlier runs have ingested, linked before any other: they stay as they are."""
    ingested: dict[int, Ingested] = {}
    for span in window:
        name = f'span-{span.number}'
        earlier = [
            (folder, quarantine.parent / folder.parent.name / name)
            for folder in sorted(records.parent.glob(f'*/{name}'))
        ]
        targets = records / name, quarantine / name
        found = link_span(span.source, config, ingested.values(), earlier, *targets)
        if found:
            ingested[span.number] = found
    return ingested


def require_few_bad(tallies: Mapping[str, Tally], limit: float, quarantine: Path) -> None:
    """A few images that cannot be used cost nothing; many say that something is wrong.

    Args:
        tallies: of the spans, by the names of their folders.
        limit: share of all images that may be bad.
        quarantine: of the run. TFX removes it when this raises, so it is kept beside.

    Raises:
        DataError: there are more; the message says how many, why, and where they are listed.
    """
    tally = sum(tallies.values(), Tally())
    bad = sum(tally.bad.values())
    if bad <= limit * tally.seen:
        return
    refused = quarantine.parent.parent / 'refused'
    shutil.rmtree(refused, ignore_errors=True)
    shutil.copytree(quarantine, refused)
    lines = ((name, line) for name in tallies for line in read_quarantined(quarantine / name))
    named = [
        f'{name}/{line["source"]}: {line["detail"]}' for name, line in itertools.islice(lines, 3)
    ]
    remedy = (
        '; if images of different classes are meant to look alike, set data.checks.near_distance: 0'
        if 'under two labels' in tally.bad
        else ''
    )
    raise DataError(
        f'{bad} of {tally.seen} images ({bad / tally.seen:.1%}) cannot be used, more than the '
        f'{limit:.1%} of data.checks.max_bad_share: {describe_bad(tally.bad)}; such as '
        f'{"; ".join(named)}; all are listed in {refused}{remedy}'
    )


def require_every_class(spans: list[Counts], test_window: int) -> None:
    """Training and judging need images of every class, in all of the spans that they use.

    Raises:
        DataError: naming the split and the class without images.
    """
    used = {'train': spans, 'eval': spans, 'test': spans[-test_window:]}
    total = sum(sum(classes.values()) for counts in spans for classes in counts.values())
    for split, those in used.items():
        images: Counter[str] = Counter()
        for counts in those:
            images.update(counts[split])
        for name, number in images.items():
            if not number:
                raise DataError(
                    f'{total} images are too few: the {split} split got none of class {name!r}; '
                    'give more images'
                )


def _artifact(prepared: Artifact, span: Span) -> Artifact:
    """Examples of one span. TFX wants several artifacts to lie directly below the prepared one."""
    artifact = standard_artifacts.Examples()
    artifact.uri = f'{prepared.uri}/span-{span.number}'
    artifact.span = span.number
    artifact.set_int_custom_property(SPAN, span.number)
    artifact.set_string_custom_property(FINGERPRINT, span.source.fingerprint)
    artifact.split_names = artifact_utils.encode_split_names(list(features.SPLITS))
    examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
    return artifact


def _fingerprints(window: Sequence[Span]) -> str:
    return json.dumps([(span.number, span.source.fingerprint) for span in window])


def _data(exec_properties: dict[str, Any]) -> DataConfig:
    return DataConfig.model_validate_json(exec_properties['data'])
