"""ExampleGen for a folder of unlabelled images."""

import hashlib
import itertools
import logging
import os
from collections import Counter
from collections.abc import Iterator
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
from components.image_example_gen.inspection.examine import GoodImage, examine
from components.image_example_gen.sources.base.reading import READ_ERRORS, error_text, read_within
from components.image_example_gen.sources.base.source_protocol import IMAGES_PER_SHARD, BadImage
from components.inference.config import InferenceConfig
from components.inference.image_folder import files_of, fingerprint_of

EXAMPLES, QUARANTINE = 'examples', 'quarantine'
SPLIT = 'unlabelled'
_Examined = bytes | BadImage  # a record, or an unusable image

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
        quarantine_folder = folder_of(quarantine.uri)
        tally = write_records(folder, checks, records, quarantine_folder)
        if not tally.used:
            raise DataError(
                f'none of the {tally.seen} images in {folder} can be used: '
                f'{describe_bad(tally.bad)}'
            )
        if tally.bad:
            clauses = '; '.join(tally.clauses())
            _log.info('of %s images: %s: %s', tally.seen, clauses, quarantine_folder / LIST)


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
        """Builds the component.

        Args:
            inference: configuration with the folder.
            checks: requirements of an image.
            code: hash of the component's source.
        """
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
    max_bytes = int(checks.quarantine_megabytes * MEGABYTE)
    bad: Counter[str] = Counter()
    good = 0
    with (
        console.bar('images to TFRecords', None) as bar,
        QuarantineWriter(quarantine, Path(LIST).stem, max_bytes) as quarantined,
    ):
        for number, images in _shards(_examined(folder, checks, bar)):
            with tf.io.TFRecordWriter(str(records / f'data_tfrecord-{number:05d}')) as writer:
                for each in images:
                    if isinstance(each, BadImage):
                        quarantined.add(each)
                        bad[each.reason] += 1
                    else:
                        writer.write(each)
                        good += 1
    return Tally(good + bad.total(), dict(bad.most_common()))


def _shards(images: Iterator[_Examined]) -> Iterator[tuple[int, Iterator[_Examined]]]:
    groups = itertools.groupby(enumerate(images), lambda pair: pair[0] // IMAGES_PER_SHARD)
    for number, group in groups:
        yield number, (image for _, image in group)


def _examined(folder: Path, checks: CheckConfig, bar: console.Bar) -> Iterator[_Examined]:
    """Yields a record or a BadImage per file."""
    images = (_read(file, folder, checks) for file in files_of(folder))
    for examined in parallel_map(lambda image: _inspect(image, checks), images):
        bar.advance()
        yield examined


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


def _inspect(image: _Read | BadImage, checks: CheckConfig) -> _Examined:
    if isinstance(image, BadImage):
        return image
    try:
        return _to_record(image, examine(image.contents, checks))
    except Rejected as error:
        return BadImage(image.filename, error.reason, error.detail, image.contents)


def _to_record(image: _Read, good: GoodImage) -> bytes:
    values = {
        features.IMAGE_BYTES: good.contents,
        features.IMAGE_FORMAT: good.format.encode(),
        features.FILENAME: image.filename.encode(errors='surrogateescape'),
        features.SHA256: hashlib.sha256(image.contents).hexdigest().encode(),
    }
    named = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in values.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=named))
    return example.SerializeToString(deterministic=True)
