import hashlib
import itertools

import pytest
import tensorflow as tf
from image_bytes import encoded
from made_images import CLASSES, labelled, picture, value
from tfx.components.example_gen.base_example_gen_executor import _PartitionFn
from tfx.proto import example_gen_pb2

from common import features
from components.image_example_gen.ingestion.records import (
    read_records,
    record_files,
    split_of,
    split_writers,
    to_example,
)
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine
from components.image_example_gen.sources.base.data_config import SplitConfig

DIGESTS = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(1000)]


def test_example_has_canonical_features_and_original_bytes():
    contents = encoded(picture())
    good = examine(contents, CheckConfig())
    image = labelled(contents, 'dogs/b.jpg', 1)

    example = to_example(image._replace(source='phone'), good, 'ab12', CLASSES)

    assert features.SOURCE not in to_example(image, good, 'ab12', CLASSES).features.feature
    assert {name: value(example, name) for name in example.features.feature} == {
        'image/encoded': contents,
        'image/format': b'jpeg',
        'image/class/label': 1,
        'image/class/text': b'dogs',
        'image/filename': b'dogs/b.jpg',
        'image/height': 48,
        'image/width': 64,
        'image/aspect': pytest.approx(64 / 48),
        'image/bytes': len(contents),
        'image/brightness': pytest.approx(good.measures.brightness),
        'image/contrast': pytest.approx(good.measures.contrast),
        'image/sharpness': pytest.approx(good.measures.sharpness),
        'image/colourfulness': pytest.approx(good.measures.colourfulness),
        'image/key/sha256': b'ab12',
        'image/source': b'phone',
    }


@pytest.mark.parametrize('shares', [(3, 1, 1), (8, 1, 2)])
def test_splits_equal_those_of_example_gen(shares):
    splits = SplitConfig(**dict(zip(features.SPLITS, shares, strict=True)))
    config = example_gen_pb2.SplitConfig(partition_feature_name=features.SHA256)
    buckets = list(itertools.accumulate(shares))

    for digest in DIGESTS[:100]:
        key = tf.train.Feature(bytes_list=tf.train.BytesList(value=[digest.encode()]))
        example = tf.train.Example(features=tf.train.Features(feature={features.SHA256: key}))
        expected = features.SPLITS[_PartitionFn(example, 3, buckets, config)]
        assert split_of(digest, splits) == expected


@pytest.mark.parametrize('share', [0.1, 0.5])
def test_share_of_validation_becomes_test(share):
    splits = SplitConfig(test_share_of_validation=share)

    found = [split_of(digest, splits, 'eval_and_test') for digest in DIGESTS]

    assert set(found) == {'eval', 'test'}
    assert found.count('test') / len(found) == pytest.approx(share, abs=0.04)


def test_train_with_own_test_images_is_divided_into_train_and_eval():
    splits = SplitConfig(train=3, eval=1, test=6)

    found = [split_of(digest, splits, 'train_and_eval') for digest in DIGESTS]

    assert set(found) == {'train', 'eval'}
    assert found.count('eval') / len(found) == pytest.approx(1 / 4, abs=0.04)
    assert {split_of(digest, splits, 'test') for digest in DIGESTS} == {'test'}
    assert {split_of(digest, splits, 'eval') for digest in DIGESTS} == {'eval'}


def test_interrupted_writer_keeps_existing_files(tmp_path):
    files = record_files(tmp_path, 0, 1)
    with split_writers(files, tmp_path) as writers:
        writers[0].write(b'first')
        writers[2].write(b'second')

    def interrupted():
        with split_writers(files, tmp_path) as writers:
            writers[1].write(b'after')
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert list(read_records(files)) == [b'first', b'second']
