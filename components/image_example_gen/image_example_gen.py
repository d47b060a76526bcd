"""ExampleGen for labelled images; writes one `Examples` artifact per span."""

import itertools
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, Channel, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from common import features
from common.artifacts import folder_of
from common.errors import DataError, TooFewImages
from common.features import FINGERPRINT, JUDGED_ONLY, SPAN
from common.redaction import redacted
from components.cache_key_driver import CacheKeyDriver
from components.image_example_gen.ingestion.quarantine import Quarantine, read_quarantined
from components.image_example_gen.ingestion.span import (
    FORMAT,
    Counts,
    Ingested,
    ingest_span,
    link_span,
    read_ingested,
)
from components.image_example_gen.ingestion.tally import Tally, describe_bad
from components.image_example_gen.inspection.examine import worker_processes
from components.image_example_gen.sources.base.data_config import DATA_URL, DataConfig
from components.image_example_gen.sources.base.source_protocol import Source
from components.image_example_gen.sources.spans import (
    Span,
    judged_spans,
    open_older_spans,
    open_window,
)

EXAMPLES, QUARANTINE = 'examples', 'quarantine'

# Keys of `data` that are left out of the cache key where they are not set, so that runs of versions
# without them stay valid.
_NEWER = ('label_pattern', 'columns')

_log = logging.getLogger(__name__)


class ImageExampleGenSpec(ComponentSpec):
    """Parameters and outputs of ImageExampleGen."""

    PARAMETERS = {  # noqa: RUF012
        'data': ExecutionParameter(type=str),
        'record_format': ExecutionParameter(type=int),  # part of the cache key
    }
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS = {  # noqa: RUF012
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        QUARANTINE: ChannelParameter(type=Quarantine),
    }


class ImageExampleGenDriver(CacheKeyDriver):
    """Adds the newest spans and their fingerprints to the cache key."""

    output = EXAMPLES

    def external_state(self, execution_info: ExecutionInfo) -> dict[str, str]:
        config = _config(execution_info.exec_properties)
        window = open_window(config)
        return {FINGERPRINT: _fingerprints([*open_older_spans(config, window), *window])}


class ImageExampleGenExecutor(BaseBeamExecutor):
    """Writes the records of each span, or links them from an earlier run."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Replaces the prepared Examples artifact by one for each span.

        Raises:
            DataError: too many images cannot be used, the images changed since the driver ran, or
                a split has no images of a class.
        """
        config = _config(exec_properties)
        (prepared,), (quarantine,) = output_dict[EXAMPLES], output_dict[QUARANTINE]
        window = open_window(config)
        older = open_older_spans(config, window)
        spans = [*older, *window]
        expected = prepared.get_string_custom_property(FINGERPRINT)  # empty without the driver
        if expected and expected != _fingerprints(spans):
            raise DataError(
                f'the images in {config.spans_place} changed during the run; start again'
            )
        output_dict[EXAMPLES] = [
            _artifact(prepared, span, trained_on=span in window) for span in spans
        ]
        if older:
            numbers = ', '.join(str(span.number) for span in older)
            _log.info('the test images of span %s are judged too: data.min_test_images', numbers)
        sources = {f'span-{span.number}': span.source for span in spans}
        folders = folder_of(prepared.uri), folder_of(quarantine.uri)
        with worker_processes():
            ingested = self._ingest(config, sources, *folders)
        used = list(ingested.items())[len(older) :]
        check_bad_share(
            {name: each.tally for name, each in used}, config.checks.max_bad_share, folders[1]
        )
        counts = [each.counts for each in ingested.values()]
        test_images = [sum(each['test'].values()) for each in reversed(counts)]
        check_classes_in_splits(
            counts,
            window=len(window),
            test_window=judged_spans(test_images, config.test_window, config.min_test_images),
            grouped=config.group_by is not None,
        )

    def _ingest(
        self, config: DataConfig, sources: Mapping[str, Source], records: Path, quarantine: Path
    ) -> dict[str, Ingested]:
        """Links the spans that earlier runs ingested, then ingests the others; results by name."""
        done: list[Path] = []  # spans are compared with these
        for name, source in sources.items():
            earlier = [
                (folder, quarantine.parent / folder.parent.name / name)
                for folder in sorted(records.parent.glob(f'*/{name}'))
            ]
            if link_span(source, config, done, earlier, records / name, quarantine / name):
                done.append(records / name)
        linked = [folder.name for folder in done]
        ingested = {}
        for name, source in sources.items():
            if len(sources) > 1:
                state = 'linked from an earlier run' if name in linked else 'new'
                _log.info('%s: %s images, %s', name.replace('-', ' '), source.count, state)
            if name not in linked:
                targets = records / name, quarantine / name
                ingest_span(source, config, done, *targets, self._make_beam_pipeline)
                done.append(records / name)
            ingested[name] = read_ingested(records / name)
            tally = ingested[name].tally
            if tally.clauses():
                _log.info('of %s images: %s', tally.seen, '; '.join(tally.clauses()))
        return ingested


class ImageExampleGen(BaseBeamComponent):
    """Ingests the newest spans of labelled images.

    The output `examples` has one artifact per span, oldest first, with the splits train, eval and
    test as TFRecords of canonical `tf.Example`s (`common.features`), and the properties `span`,
    `input_fingerprint`, and `judged_only` for spans before the window. The output `quarantine`
    lists the images that cannot be used.
    """

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = BeamExecutorSpec(ImageExampleGenExecutor)
    DRIVER_CLASS = ImageExampleGenDriver

    def __init__(self, data: DataConfig) -> None:
        """Sets CATDOG_DATA_URL for the executor, as the record of `data.url` is redacted."""
        if data.url and redacted(data.url) != data.url:
            os.environ[DATA_URL] = data.url
        not_set = {key for key in _NEWER if getattr(data, key) is None}
        spec = ImageExampleGenSpec(
            data=data.model_dump_json(exclude=not_set),
            record_format=FORMAT,
            examples=Channel(type=standard_artifacts.Examples),
            quarantine=Channel(type=Quarantine),
        )
        super().__init__(spec)


def check_bad_share(tallies: Mapping[str, Tally], limit: float, quarantine: Path) -> None:
    """Raises DataError if the share of images that cannot be used is above the limit.

    Images of unknown classes do not count: a recipe or a live model may have some of the classes of
    the data. TFX removes the quarantine after an error, so it is copied to `refused`. The keys of
    `tallies` are the names of the folders of spans.
    """
    tally = sum(tallies.values(), Tally())
    reasons = {reason: number for reason, number in tally.bad.items() if reason != 'unknown class'}
    bad = sum(reasons.values())
    if bad <= limit * tally.seen:
        return
    refused = quarantine.parent.parent / 'refused'
    shutil.rmtree(refused, ignore_errors=True)
    shutil.copytree(quarantine, refused)
    lines = (
        f'{name}/{line["source"]}: {line["detail"]}'
        for name in tallies
        for line in read_quarantined(quarantine / name)
        if line['reason'] in reasons
    )
    message = (
        f'{bad} of {tally.seen} images ({bad / tally.seen:.1%}) cannot be used, more than the '
        f'{limit:.1%} of data.checks.max_bad_share: {describe_bad(reasons)}; such as '
        f'{"; ".join(itertools.islice(lines, 3))}; all are listed in {refused}'
    )
    if 'under two labels' in reasons:
        message += '; if images of different classes look alike, set data.checks.near_distance: 0'
    raise DataError(message)


def check_classes_in_splits(
    spans: Sequence[Counts], window: int, test_window: int, *, grouped: bool = False
) -> None:
    """Raises TooFewImages if a split has no images of a class; the oldest span is first.

    `window` is the number of newest spans to train on, `test_window` to evaluate on.
    """
    total = sum(sum(classes.values()) for counts in spans for classes in counts.values())
    for split in features.SPLITS:
        used = spans[-(test_window if split == 'test' else window) :]
        for name in used[0][split]:
            if not any(counts[split][name] for counts in used):
                remedy = 'images of more groups (data.group_by)' if grouped else 'more images'
                raise TooFewImages(
                    f'{total} images are too few: the {split} split got none of class {name!r}; '
                    f'add {remedy}'
                )


def _artifact(prepared: Artifact, span: Span, *, trained_on: bool) -> Artifact:
    """Examples of one span; TFX requires its folder directly in that of the prepared artifact."""
    artifact = standard_artifacts.Examples()
    artifact.uri = f'{prepared.uri}/span-{span.number}'
    artifact.span = span.number
    artifact.set_int_custom_property(SPAN, span.number)
    if not trained_on:
        artifact.set_int_custom_property(JUDGED_ONLY, 1)
    artifact.set_string_custom_property(FINGERPRINT, span.source.fingerprint)
    artifact.split_names = artifact_utils.encode_split_names(list(features.SPLITS))
    examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
    return artifact


def _fingerprints(window: Sequence[Span]) -> str:
    return json.dumps([(span.number, span.source.fingerprint) for span in window])


def _config(exec_properties: dict[str, Any]) -> DataConfig:
    return DataConfig.model_validate_json(exec_properties['data'])
