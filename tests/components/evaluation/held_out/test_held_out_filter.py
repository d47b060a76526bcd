"""HeldOutFilter on ingested spans and models with an index of their images."""

import hashlib
import io
import os

import apache_beam as beam
import numpy as np
import pytest
from components.evaluation.held_out.component import (
    HeldOutFilter,
    HeldOutImages,
    find_held_out,
)
from components.evaluation.held_out.held_out_files import HeldOut, read_dropped, read_held_out
from image_bytes import encoded
from made_images import labelled, memory_source, picture
from tfx.types import standard_artifacts

from common import console, features
from common.errors import DataError, ModelError
from components.image_example_gen.ingestion.duplicates import IMAGE
from components.image_example_gen.ingestion.span import ingest_span
from components.image_example_gen.sources.base.data_config import DataConfig
from trainer.training.trained_images import (
    index_file,
    read_record_index,
    read_trained_images,
    write_trained_images,
)

NEAR = DataConfig().checks.near_distance
TRAIN, EVAL, TEST = range(3)
PICTURES = np.random.default_rng(5).integers(0, 256, (9, 32), dtype=np.uint8)


def images(quality=90):
    """The same 40 pictures; with another quality they have other bytes, and so other splits."""
    return [
        labelled(encoded(picture(seed=n), quality=quality), f'{n}.jpg', n % 2) for n in range(40)
    ]


@pytest.fixture(scope='module')
def ingest(tmp_path_factory):
    """`ingest(images, **keys of data)`: the records of a span that is ingested alone."""

    def write(given, **data):
        records, quarantine = (tmp_path_factory.mktemp(name) for name in ('records', 'quarantine'))
        config = DataConfig(**data)
        folders = (records, quarantine / 'span-1')
        ingest_span(memory_source(given), config, folders, beam.Pipeline)
        return records

    return write


@pytest.fixture
def train(tmp_path):
    """`train(records, base)` writes the index of a model that was trained on a span."""

    def write(records, base=None):
        model = standard_artifacts.Model()
        model.uri = str(tmp_path / f'model-{len(list(tmp_path.iterdir()))}')
        index = read_record_index(f'{records}/Split-{split}/*' for split in ('train', 'eval'))
        index_file(f'{model.uri}/Format-Serving').parent.mkdir()
        before = index_file(f'{base.uri}/Format-Serving') if base else None
        write_trained_images(index, f'{model.uri}/Format-Serving', before)
        return model

    return write


@pytest.fixture
def judge(tmp_path):
    """`judge(records, ...)`: the counts, the digests left out, and the console output."""

    def run(*spans, **models):
        examples = [standard_artifacts.Examples() for _ in spans]
        for artifact, records in zip(examples, spans, strict=True):
            artifact.uri = str(records)
        held_out, output = HeldOutImages(), io.StringIO()
        held_out.uri = str(tmp_path)
        with console.output_to(output):
            HeldOutFilter.EXECUTOR_SPEC.executor_class._FUNCTION(
                examples=examples,
                held_out=held_out,
                near_distance=NEAR,
                **models,
            )
        return read_held_out(tmp_path), read_dropped(tmp_path), output.getvalue().strip()

    return run


@pytest.fixture(scope='module')
def first(ingest):
    return ingest(images())


@pytest.fixture(scope='module')
def resaved(ingest):
    """A span of the pictures of `first` saved again, ingested alone, as with a window of 1."""
    return ingest(images(quality=70))


def digest(image):
    return hashlib.sha256(image.contents).hexdigest()


def digests_in(records, *splits):
    index = np.load(records / features.INDEX)
    return {bytes(each).hex() for each in index['sha256'][np.isin(index['split'], splits)]}


def test_drops_saved_again_pictures_that_the_live_model_was_trained_on(
    train, judge, first, resaved
):
    live, new = train(first), train(resaved)

    counts, dropped, output = judge(resaved, model=new, baseline_model=live)

    before, after = digests_in(first, TRAIN, EVAL), digests_in(resaved, TEST)
    leaked = {
        digest(other)
        for image, other in zip(images(), images(quality=70), strict=True)
        if digest(image) in before and digest(other) in after
    }
    assert dropped == leaked != set()
    assert (counts.dropped, counts.kept) == (len(leaked), len(after - leaked))
    assert output.startswith(f'{len(leaked)} of {len(after)} test images left out')


def test_drops_images_that_an_ancestor_was_trained_on(train, judge, first, resaved):
    new = train(resaved, base=train(first))

    counts, _, _ = judge(resaved, model=new)

    assert counts.dropped > 0


def test_keeps_all_images_without_overlap_and_logs_nothing(train, judge, first):
    counts, dropped, output = judge(first, model=train(first), anchor_model=train(first))

    assert (counts.dropped, counts.kept) == (0, len(digests_in(first, TEST)))
    assert (dropped, output) == (frozenset(), '')


@pytest.mark.parametrize('case', ['splits', 'parts'])
def test_changed_division_leaves_out_images_of_the_old_training_splits(train, judge, ingest, case):
    """Other shares; or a folder of train and validation that became a flat one."""
    parts = [
        each._replace(part=('train', 'eval_and_test')[n > 29]) for n, each in enumerate(images())
    ]
    before = ingest(parts if case == 'parts' else images())
    after = ingest(images(), splits={'train': 1, 'eval': 1, 'test': 3})

    counts, dropped, _ = judge(after, model=train(after), baseline_model=train(before))

    assert dropped == digests_in(before, TRAIN, EVAL) & digests_in(after, TEST)
    assert counts.dropped == len(dropped) > 0


def test_nothing_left_and_unknown_models_are_logged(train, judge, first, resaved):
    old = standard_artifacts.Model()
    old.uri = '/nowhere'
    whole = read_record_index([f'{first}/Split-train/*'])
    whole['split'] = TRAIN
    model = train(first)
    write_trained_images(whole, f'{model.uri}/Format-Serving', None)

    counts, dropped, output = judge(first, model=model, baseline_model=old)

    images = len(digests_in(first, TEST))
    assert (counts.kept, counts.dropped, len(dropped)) == (0, images, images)
    unknown, left_out = output.splitlines()
    assert unknown == 'the live model has no index of the images that it was trained on'
    assert left_out.startswith(f'{images} of {images} ')
    assert left_out.endswith('none is left')


def entry(number, split=TEST, label=0, group=0, picture=None):
    sha256 = np.frombuffer(number.to_bytes(32, 'big'), np.uint8)
    return np.array([(sha256, PICTURES[picture or number], label, split, False, group)], IMAGE)


def test_judges_repeated_images_once_and_leaves_out_bytes_near_duplicates_and_groups():
    one = np.concatenate([entry(1), entry(2, label=1), entry(3, TRAIN), entry(4, group=9)])
    other = np.concatenate([entry(1), entry(5, picture=3), entry(6, group=8)])
    trained = np.concatenate([entry(2), entry(3), entry(7, group=9)])

    counts, dropped = find_held_out([one, other], [trained], NEAR)

    assert counts == HeldOut(dropped=3, kept=2)
    assert {int(each, 16) for each in dropped} == {2, 4, 5}
    counts, dropped = find_held_out([one, other], [trained], 0)
    assert {int(each, 16) for each in dropped} == {2, 4}


def test_index_of_a_model_is_sorted_and_includes_its_base(train, first, resaved):
    base = train(first)
    found = read_trained_images(index_file(f'{train(resaved, base).uri}/x').parent)

    expected = digests_in(first, TRAIN, EVAL) | digests_in(resaved, TRAIN, EVAL)
    assert [bytes(each).hex() for each in found['sha256']] == sorted(expected)
    again = read_trained_images(index_file(f'{train(resaved, base).uri}/x').parent)
    assert again.tobytes() == found.tobytes()
    assert found.itemsize == 80


def test_damaged_index_of_a_model_is_an_error(train, first):
    file = index_file(f'{train(first).uri}/Format-Serving')
    os.truncate(file, 200)

    with pytest.raises(ModelError, match=r'trained_on\.npy is damaged; remove it to judge'):
        read_trained_images(file.parent)


def test_records_without_index_are_an_error(tmp_path):
    with pytest.raises(DataError, match=r'no readable index\.npy .* remove them to ingest again'):
        read_record_index([f'{tmp_path}/Split-train/*'])
