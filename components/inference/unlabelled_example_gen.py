"""ExampleGen for a folder of unlabelled images."""

import hashlib
import itertools
import logging
from collections import Counter
from pathlib import Path

import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

from common import console, features
from common.artifacts import folder_of
from common.errors import DataError, Rejected
from common.features import FINGERPRINT
from components.cache_key_driver import CacheKeyDriver
from components.image_example_gen.ingestion.ingested import Tally, describe_bad
from components.image_example_gen.ingestion.quarantine import LIST, Quarantine, line_of
from components.image_example_gen.ingestion.transforms import examine_images
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.measures import GoodImage
from components.image_example_gen.sources.base.listing import READ_ERRORS, error_text, read_file
from components.image_example_gen.sources.base.source import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
)
from components.inference.image_folder import files_of, fingerprint_of

EXAMPLES = 'examples'
SPLIT = 'unlabelled'
_NO_LABEL = -1

_log = logging.getLogger(__name__)


@component
def UnlabelledExampleGen(
    examples: OutputArtifact[standard_artifacts.Examples],
    quarantine: OutputArtifact[Quarantine],
    path: Parameter[str],
    checks: Parameter[str],
    code: Parameter[str],  # hash of the source, part of the cache key
) -> None:
    """Ingests a folder of unlabelled images, with the checks of ImageExampleGen.

    Writes the split `unlabelled` to `examples`, whose property `input_fingerprint` changes with the
    images, and a list of unusable images to `quarantine`; `checks` is a `CheckConfig` as JSON.
    A record has the encoded image, its format, digest and path in the folder.

    Raises:
        DataError: the folder is not readable, or has no usable images.
    """
    examples.split_names = artifact_utils.encode_split_names([SPLIT])
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    records = Path(artifact_utils.get_split_uri([examples], SPLIT))
    unusable = folder_of(quarantine.uri)
    config = CheckConfig.model_validate_json(checks)
    tally = write_records(Path(path), config, records, unusable)
    if not tally.used:
        bad = describe_bad(tally.bad)
        raise DataError(f'none of the {tally.seen} images in {path} can be used: {bad}')
    if tally.bad:
        _log.info('of %s images: %s: %s', tally.seen, '; '.join(tally.clauses()), unusable / LIST)


class UnlabelledExampleGenDriver(CacheKeyDriver):
    """Adds a fingerprint of the folder to the cache key."""

    output = EXAMPLES

    def external_state(self, execution_info: ExecutionInfo) -> dict[str, str]:
        return {FINGERPRINT: fingerprint_of(Path(execution_info.exec_properties['path']))}


UnlabelledExampleGen.DRIVER_CLASS = UnlabelledExampleGenDriver


def write_records(folder: Path, checks: CheckConfig, records: Path, quarantine: Path) -> Tally:
    """Writes usable images to the folder `records`, and a list of the others to `quarantine`.

    Few images are in memory at a time.
    """
    records.mkdir(parents=True, exist_ok=True)
    bad: Counter[str] = Counter()
    good = 0
    images = (_read(file, folder, checks) for file in files_of(folder))
    examined = enumerate(examine_images(images, checks))
    shards = itertools.groupby(examined, lambda pair: pair[0] // IMAGES_PER_SHARD)
    quarantine.mkdir(parents=True, exist_ok=True)
    with (
        console.bar('images to TFRecords', None) as bar,
        (quarantine / LIST).open('w') as quarantined,
    ):
        for shard, group in shards:
            with tf.io.TFRecordWriter(str(records / f'data_tfrecord-{shard:05d}')) as writer:
                for _, found in group:
                    bar.advance()
                    image, outcome = (found, found) if isinstance(found, BadImage) else found
                    if isinstance(outcome, BadImage):
                        quarantined.write(line_of(outcome))
                        bad[outcome.reason] += 1
                    else:
                        assert isinstance(image, LabelledImage)
                        writer.write(_to_example(image, outcome))
                        good += 1
    return Tally(good + bad.total(), dict(bad.most_common()))


def _read(file: Path, folder: Path, checks: CheckConfig) -> LabelledImage | BadImage:
    filename = str(file.relative_to(folder))
    try:
        return LabelledImage(read_file(file, checks.max_bytes), _NO_LABEL, filename)
    except Rejected as error:
        return BadImage(filename, error.reason, error.detail)
    except READ_ERRORS as error:
        return BadImage(filename, 'unreadable', f'it cannot be read: {error_text(error)}')


def _to_example(image: LabelledImage, good: GoodImage) -> bytes:
    example = tf.train.Example()
    for name, value in {
        features.IMAGE_BYTES: good.contents,
        features.IMAGE_FORMAT: good.format.encode(),
        features.FILENAME: image.filename.encode(errors='surrogateescape'),
        features.SHA256: hashlib.sha256(image.contents).hexdigest().encode(),
    }.items():
        example.features.feature[name].bytes_list.value.append(value)
    return example.SerializeToString(deterministic=True)
