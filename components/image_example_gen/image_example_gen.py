"""ExampleGen for labelled images; writes one `Examples` artifact per span."""

import contextlib
import json
import logging
import os
from typing import Any

from ml_metadata.errors import AlreadyExistsError
from ml_metadata.proto.metadata_store_pb2 import Event
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.orchestration.portable.mlmd import event_lib
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, Channel, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from common import features
from common.artifacts import folder_of
from common.errors import DataError
from common.features import EARLIER, FINGERPRINT, JUDGED_ONLY, OTHER_SPANS, SPAN
from common.files import write_atomically
from common.mirror import uri_of
from common.redaction import redacted
from components.cache_key_driver import CacheKeyDriver
from components.image_example_gen.ingestion.checks import (
    check_bad_share,
    describe_empty_splits,
    describe_left_spans,
)
from components.image_example_gen.ingestion.ingested import (
    FORMAT,
    RUN,
    Fingerprints,
    Run,
    find_earlier,
    known_fingerprint,
)
from components.image_example_gen.ingestion.quarantine import Quarantine
from components.image_example_gen.ingestion.span import ingest_spans
from components.image_example_gen.inspection.examine import start, worker_processes
from components.image_example_gen.sources.base.data_config import DATA_URL, DataConfig
from components.image_example_gen.sources.spans import (
    Span,
    judged_spans,
    open_older_spans,
    open_other_spans,
    open_window,
)

EXAMPLES, QUARANTINE = 'examples', 'quarantine'

_log = logging.getLogger(__name__)


class ImageExampleGenSpec(ComponentSpec):
    """Parameters and outputs of ImageExampleGen."""

    PARAMETERS = {  # noqa: RUF012
        'data': ExecutionParameter(type=str),
        'record_format': ExecutionParameter(type=int),  # part of the cache key
    }
    INPUTS: dict[str, Any] = {}  # noqa: RUF012  # the driver adds EARLIER
    OUTPUTS = {  # noqa: RUF012
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        QUARANTINE: ChannelParameter(type=Quarantine),
    }


class ImageExampleGenDriver(CacheKeyDriver):
    """Adds the fingerprints of the spans and the earlier ingestion to the cache key.

    The earlier ingestion is also recorded as an input of the execution. The fingerprints of the
    other spans, which are there and are not read, tell a warm start which images still exist.
    """

    output = EXAMPLES

    def external_state(self, execution_info: ExecutionInfo) -> dict[str, str]:
        (prepared,) = execution_info.output_dict[EXAMPLES]
        config, _, _, images = _open(execution_info.exec_properties, prepared)
        runs = folder_of(prepared.uri).parent
        earlier = find_earlier(runs, config, images)
        others = {
            span.number: known_fingerprint(span.source, runs, span.number)
            for span in open_other_spans(config, images)
        }
        # The launcher names the folder of an output after the execution, and gives no ID.
        execution = int(folder_of(prepared.uri).name)
        with self._metadata_handle as handle:
            spans = sorted(folder_of(earlier).glob('span-*')) if earlier else ()
            events = [
                event_lib.generate_event(Event.INPUT, EARLIER, index, each.id, execution)
                for index, span in enumerate(spans)
                for each in handle.store.get_artifacts_by_uri(uri_of(span))
            ]
            with contextlib.suppress(AlreadyExistsError):  # the task of this node was started twice
                handle.store.put_events(events)
        return {
            FINGERPRINT: json.dumps(images),
            EARLIER: earlier,
            OTHER_SPANS: json.dumps(others),
        }


class ImageExampleGenExecutor(BaseBeamExecutor):
    """Writes the records of each span, or links them from an earlier run."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Replaces the prepared Examples artifact by one for each span.

        Raises DataError if too many images cannot be used, the images changed since the driver ran,
        or a split has no images.
        """
        start()  # worker processes, which import TensorFlow meanwhile
        (prepared,), (quarantine,) = output_dict[EXAMPLES], output_dict[QUARANTINE]
        config, spans, window, images = _open(exec_properties, prepared)
        expected = prepared.get_string_custom_property(FINGERPRINT)  # empty without the driver
        if expected and expected != json.dumps(images):
            raise DataError(
                f'the images in {config.spans_place} changed during the run; start again'
            )
        output_dict[EXAMPLES] = [
            _artifact(prepared, span, images[span.number], trained_on=span in window)
            for span in spans
        ]
        if numbers := ', '.join(str(span.number) for span in spans[: -len(window)]):
            _log.info('the test images of span %s are judged too: data.min_test_images', numbers)
        for note in dict.fromkeys(note for span in spans for note in span.source.notes):
            _log.warning('%s', note)
        folders = folder_of(prepared.uri), folder_of(quarantine.uri)
        earlier = prepared.get_string_custom_property(EARLIER)
        before = str(folder_of(earlier)) if earlier else ''
        with worker_processes():
            ingested = ingest_spans(
                {span.number: span.source for span in spans},
                images,
                config,
                before,
                folders,
                self._make_beam_pipeline,
            )
        used = {f'span-{span.number}': ingested[span.number].tally for span in window}
        check_bad_share(used, config.checks.max_bad_share, folders[1])
        counts = [each.counts for each in ingested.values()]
        test_images = [sum(each['test'].values()) for each in reversed(counts)]
        judged = judged_spans(test_images, config.test_window, config.min_test_images)
        if empty := describe_empty_splits(counts, len(window), judged):
            _log.warning('%s', empty)
        if left := describe_left_spans(before, {span.number for span in window}):
            _log.warning('%s', left)
        run = Run(format=FORMAT, data=config, images=images, earlier=earlier)
        write_atomically(folders[0] / RUN, run.model_dump_json())


class ImageExampleGen(BaseBeamComponent):
    """Ingests the newest spans of labelled images.

    The output `examples` has one artifact per span, oldest first, with the splits train, eval and
    test as TFRecords of canonical `tf.Example`s (`common.features`), and the properties `span`,
    `input_fingerprint`, `earlier_ingestion`, `other_spans`, and `judged_only` for spans before the
    window. The output `quarantine` lists the images that cannot be used.
    """

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = BeamExecutorSpec(ImageExampleGenExecutor)
    DRIVER_CLASS = ImageExampleGenDriver

    def __init__(self, data: DataConfig) -> None:
        """Sets CATDOG_DATA_URL for the executor, as the record of `data.url` is redacted."""
        if data.url and redacted(data.url) != data.url:
            os.environ[DATA_URL] = data.url
        spec = ImageExampleGenSpec(
            data=data.model_dump_json(),
            record_format=FORMAT,
            examples=Channel(type=standard_artifacts.Examples),
            quarantine=Channel(type=Quarantine),
        )
        super().__init__(spec)


def _artifact(prepared: Artifact, span: Span, fingerprint: str, *, trained_on: bool) -> Artifact:
    """Examples of one span; TFX requires its folder directly in that of the prepared artifact."""
    artifact = standard_artifacts.Examples()
    artifact.uri = f'{prepared.uri}/span-{span.number}'
    artifact.span = span.number
    artifact.set_int_custom_property(SPAN, span.number)
    if not trained_on:
        artifact.set_int_custom_property(JUDGED_ONLY, 1)
    artifact.set_string_custom_property(FINGERPRINT, fingerprint)
    for name in (EARLIER, OTHER_SPANS):
        artifact.set_string_custom_property(name, prepared.get_string_custom_property(name))
    artifact.split_names = artifact_utils.encode_split_names(list(features.SPLITS))
    examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
    return artifact


def _open(
    exec_properties: dict[str, Any], prepared: Artifact
) -> tuple[DataConfig, list[Span], tuple[Span, ...], Fingerprints]:
    """The recipe, all spans with the oldest first, those to train on, and the fingerprints."""
    config = DataConfig.model_validate_json(exec_properties['data'])
    window = open_window(config)
    spans = [*open_older_spans(config, window), *window]
    runs = folder_of(prepared.uri).parent
    images = {span.number: known_fingerprint(span.source, runs, span.number) for span in spans}
    return config, spans, window, images
