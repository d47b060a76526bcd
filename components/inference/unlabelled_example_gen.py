"""ExampleGen for images without labels: from a folder to `Examples` that BulkInferrer answers."""

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
from components.cache_key_driver import LookingDriver
from components.image_example_gen.ingestion.in_order import in_order
from components.image_example_gen.ingestion.quarantine import LIST, Quarantine, QuarantineWriter
from components.image_example_gen.ingestion.tally import Tally, describe_bad
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.examine import GoodImage, examine
from components.image_example_gen.sources.base.members import READ_ERRORS, read_within, told
from components.image_example_gen.sources.base.source_protocol import IMAGES_PER_SHARD, BadImage
from components.inference.config import InferenceConfig
from components.inference.image_folder import files_of, fingerprint_of

EXAMPLES, QUARANTINE = 'examples', 'quarantine'
SPLIT = 'unlabelled'
_Examined = bytes | BadImage  # a record, or what is wrong

_log = logging.getLogger(__name__)


class UnlabelledExampleGenSpec(ComponentSpec):
    """What goes in and out."""

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


class UnlabelledExampleGenDriver(LookingDriver):
    """Looks whether the images have changed."""

    output = EXAMPLES

    def look(self, execution_info: ExecutionInfo) -> dict[str, str]:
        return {FINGERPRINT: fingerprint_of(Path(execution_info.exec_properties['path']))}


class UnlabelledExampleGenExecutor(base_executor.BaseExecutor):
    """Writes records of the images that can be used, and lists the others."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """One split of all images.

        Raises:
            DataError: the folder cannot be read, or none of its images can be used.
        """
        (examples,), (quarantine,) = output_dict[EXAMPLES], output_dict[QUARANTINE]
        examples.split_names = artifact_utils.encode_split_names([SPLIT])
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        folder = Path(exec_properties['path'])
        checks = CheckConfig.model_validate_json(exec_properties['checks'])
        records = Path(artifact_utils.get_split_uri([examples], SPLIT))
        aside = folder_of(quarantine.uri)
        tally = write_records(folder, checks, records, aside)
        if not tally.used:
            raise DataError(
                f'none of the {tally.seen} images in {folder} can be used: '
                f'{describe_bad(tally.bad)}'
            )
        if tally.bad:
            clauses = '; '.join(tally.clauses())
            _log.info('of %s images: %s: %s', tally.seen, clauses, aside / LIST)


class UnlabelledExampleGen(BaseComponent):
    """Checks the images of a folder as ingestion does, and writes those that can be used.

    Its output `examples` has the split `unlabelled`; its property `input_fingerprint` changes when
    the images change. A record holds the bytes of the image, their format and digest, and the path
    in the folder. Its output `quarantine` lists the images that were set aside.
    """

    SPEC_CLASS = UnlabelledExampleGenSpec
    EXECUTOR_SPEC = ExecutorClassSpec(UnlabelledExampleGenExecutor)
    DRIVER_CLASS = UnlabelledExampleGenDriver

    def __init__(self, inference: InferenceConfig, checks: CheckConfig, code: str) -> None:
        """Connects it.

        Args:
            inference: names the folder.
            checks: limits of an image.
            code: hash of the code of this component.
        """
        outputs = {
            EXAMPLES: Channel(type=standard_artifacts.Examples),
            QUARANTINE: Channel(type=Quarantine),
        }
        path = str(inference.path.absolute())
        checks_json = checks.model_dump_json()
        super().__init__(
            UnlabelledExampleGenSpec(path=path, checks=checks_json, code=code, **outputs)
        )


class _Read(NamedTuple):
    """An image as it lies in the folder."""

    contents: bytes
    filename: str


def write_records(folder: Path, checks: CheckConfig, records: Path, quarantine: Path) -> Tally:
    """Checks every image once; only a few are held at a time.

    Args:
        folder: with images at any depth.
        checks: limits of an image.
        records: where TFRecords are written, of some hundred images each.
        quarantine: where those that cannot be used are listed, and copied while there is room.
    """
    records.mkdir(parents=True, exist_ok=True)
    room = int(checks.quarantine_megabytes * MEGABYTE)
    bad: Counter[str] = Counter()
    good = 0
    with (
        console.bar('images to TFRecords', None) as bar,
        QuarantineWriter(quarantine, Path(LIST).stem, room) as aside,
    ):
        for number, found in _numbered_by_shard(_examined(folder, checks, bar)):
            with tf.io.TFRecordWriter(str(records / f'data_tfrecord-{number:05d}')) as writer:
                for each in found:
                    if isinstance(each, BadImage):
                        aside.add(each)
                        bad[each.reason] += 1
                    else:
                        writer.write(each)
                        good += 1
    return Tally(good + bad.total(), dict(bad.most_common()))


def _numbered_by_shard(
    found: Iterator[_Examined],
) -> Iterator[tuple[int, Iterator[_Examined]]]:
    numbered = itertools.groupby(enumerate(found), lambda each: each[0] // IMAGES_PER_SHARD)
    for number, those in numbered:
        yield number, (each for _, each in those)


def _examined(folder: Path, checks: CheckConfig, bar: console.Bar) -> Iterator[_Examined]:
    """Each image as a record, or what is wrong with it."""
    images = (_read(file, folder, checks) for file in files_of(folder))
    for found in in_order(lambda each: _inspect(each, checks), images):
        bar.advance()
        yield found


def _read(file: Path, folder: Path, checks: CheckConfig) -> _Read | BadImage:
    filename = str(file.relative_to(folder))
    try:
        with file.open('rb') as opened:
            size = os.fstat(opened.fileno()).st_size
            return _Read(read_within(checks.max_bytes, size, opened), filename)
    except Rejected as error:
        return BadImage(filename, error.reason, error.detail)
    except READ_ERRORS as error:
        return BadImage(filename, 'unreadable', f'it cannot be read: {told(error)}')


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
