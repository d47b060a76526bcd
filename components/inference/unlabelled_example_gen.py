"""ExampleGen for a folder of unlabelled images."""

import hashlib
import itertools
import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_executor
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, Channel, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from common import console, features
from common.artifacts import folder_of
from common.errors import DataError, Rejected
from common.features import FINGERPRINT
from common.files import MEGABYTE
from components.cache_key_driver import CacheKeyDriver
from components.image_example_gen.ingestion.parallel_map import parallel_map
from components.image_example_gen.ingestion.quarantine import LIST, Quarantine, QuarantineWriter
from components.image_example_gen.ingestion.tally import Tally, describe_bad
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.examine import examine
from components.image_example_gen.sources.base.reading import READ_ERRORS, error_text, read_within
from components.image_example_gen.sources.base.source_protocol import IMAGES_PER_SHARD, BadImage
from components.inference.image_folder import InferenceConfig, files_of, fingerprint_of

EXAMPLES, QUARANTINE = 'examples', 'quarantine'
SPLIT = 'unlabelled'

_log = logging.getLogger(__name__)


class UnlabelledExampleGenSpec(ComponentSpec):
    """Parameters and outputs."""

    PARAMETERS = {  # noqa: RUF012
        'path': ExecutionParameter(type=str),
        'checks': ExecutionParameter(type=str),
        'code': ExecutionParameter(type=str),  # part of the cache key
    }
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS = {  # noqa: RUF012
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        QUARANTINE: ChannelParameter(type=Quarantine),
    }


class UnlabelledExampleGenDriver(CacheKeyDriver):
    """Adds a fingerprint of the folder to the cache key."""

    output = EXAMPLES

    def external_state(self, execution_info: ExecutionInfo) -> dict[str, str]:
        return {FINGERPRINT: fingerprint_of(Path(execution_info.exec_properties['path']))}


class UnlabelledExampleGenExecutor(base_executor.BaseExecutor):
    """Writes usable images as records, and quarantines the others."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes one split.

        Raises:
            DataError: the folder is not readable, or has no usable images.
        """
        (examples,), (quarantine,) = output_dict[EXAMPLES], output_dict[QUARANTINE]
        examples.split_names = artifact_utils.encode_split_names([SPLIT])
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        folder = Path(exec_properties['path'])
        checks = CheckConfig.model_validate_json(exec_properties['checks'])
        records = Path(artifact_utils.get_split_uri([examples], SPLIT))
        tally = write_records(folder, checks, records, folder_of(quarantine.uri))
        if not tally.used:
            raise DataError(
                f'none of the {tally.seen} images in {folder} can be used: '
                f'{describe_bad(tally.bad)}'
            )
        if tally.bad:
            listed = folder_of(quarantine.uri) / LIST
            _log.info('of %s images: %s: %s', tally.seen, '; '.join(tally.clauses()), listed)


class UnlabelledExampleGen(BaseComponent):
    """Ingests a folder of unlabelled images, with the checks of ImageExampleGen.

    The output `examples` has the split `unlabelled`; its property `input_fingerprint` changes with
    the images. A record has the encoded image, its format and digest, and its path in the folder.
    The output `quarantine` lists unusable images.
    """

    SPEC_CLASS = UnlabelledExampleGenSpec
    EXECUTOR_SPEC = ExecutorClassSpec(UnlabelledExampleGenExecutor)
    DRIVER_CLASS = UnlabelledExampleGenDriver

    def __init__(self, inference: InferenceConfig, checks: CheckConfig, code: str) -> None:
        """Builds the component; `code` is a hash of its source."""
        spec = UnlabelledExampleGenSpec(
            path=str(inference.path.absolute()),
            checks=checks.model_dump_json(),
            code=code,
            examples=Channel(type=standard_artifacts.Examples),
            quarantine=Channel(type=Quarantine),
        )
        super().__init__(spec)


class _Read(NamedTuple):
    contents: bytes
    filename: str


def write_records(folder: Path, checks: CheckConfig, records: Path, quarantine: Path) -> Tally:
    """Checks every image and writes records; few images are in memory at a time.

    Args:
        folder: folder of images, searched recursively.
        checks: requirements of an image.
        records: folder for TFRecord shards.
        quarantine: folder for the list of unusable images, and copies up to the size limit.
    """
    records.mkdir(parents=True, exist_ok=True)
    bad: Counter[str] = Counter()
    good = 0
    images = (_read(file, folder, checks) for file in files_of(folder))
    examined = parallel_map(lambda image: _examine(image, checks), images)
    with (
        console.bar('images to TFRecords', None) as bar,
        QuarantineWriter(
            quarantine, Path(LIST).stem, int(checks.quarantine_megabytes * MEGABYTE)
        ) as quarantined,
    ):
        for shard, group in itertools.groupby(
            enumerate(examined), lambda pair: pair[0] // IMAGES_PER_SHARD
        ):
            with tf.io.TFRecordWriter(str(records / f'data_tfrecord-{shard:05d}')) as writer:
                for _, image in group:
                    bar.advance()
                    if isinstance(image, BadImage):
                        quarantined.add(image)
                        bad[image.reason] += 1
                    else:
                        writer.write(image)
                        good += 1
    return Tally(good + bad.total(), dict(bad.most_common()))


def _read(file: Path, folder: Path, checks: CheckConfig) -> _Read | BadImage:
    filename = str(file.relative_to(folder))
    try:
        with file.open('rb') as opened:
            size = os.fstat(opened.fileno()).st_size
            return _Read(read_within(checks.max_bytes, size, opened), filename)
    except Rejected as error:
        return BadImage(filename, error.reason, error.detail)
    except READ_ERRORS as error:
        return BadImage(filename, 'unreadable', f'it cannot be read: {error_text(error)}')


def _examine(image: _Read | BadImage, checks: CheckConfig) -> bytes | BadImage:
    """Returns a serialized `tf.Example`, or an unusable image."""
    if isinstance(image, BadImage):
        return image
    try:
        good = examine(image.contents, checks)
    except Rejected as error:
        return BadImage(image.filename, error.reason, error.detail, image.contents)
    example = tf.train.Example()
    for name, value in {
        features.IMAGE_BYTES: good.contents,
        features.IMAGE_FORMAT: good.format.encode(),
        features.FILENAME: image.filename.encode(errors='surrogateescape'),
        features.SHA256: hashlib.sha256(image.contents).hexdigest().encode(),
    }.items():
        example.features.feature[name].bytes_list.value.append(value)
    return example.SerializeToString(deterministic=True)
