"""The test images that Predictor leaves out, on ingested spans and models with an index."""

import hashlib
import os

import apache_beam as beam
import numpy as np
import pytest
from image_bytes import encoded
from made_images import labelled, memory_source, picture
from tfx.types import standard_artifacts

from common import features
from common.errors import DataError, ModelError
from components.evaluation.predictions import component
from components.evaluation.predictions.component import Predictions, Predictor
from components.evaluation.predictions.held_out import (
    HELD_OUT_FILE,
    HeldOut,
    distinct_images,
    find_held_out,
    groups_of,
)
from components.evaluation.predictions.prediction_files import prediction_paths, read_rows
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


class Classifier:
    """Predicts the first class."""

    def labels_of(self, signature, images):
        return [0] * len(images), np.tile(np.float32([0.9, 0.1]), (len(images), 1))


@pytest.fixture
def predict(tmp_path, monkeypatch):
    """`predict(records, ...)`: the counts, and the digests of the images with predictions."""
    monkeypatch.setattr(component, 'load_classifier', lambda _: Classifier())

    def run(*spans, **models):
        examples = [standard_artifacts.Examples() for _ in spans]
        for artifact, records in zip(examples, spans, strict=True):
            artifact.uri = str(records)
        predictions = Predictions()
        predictions.uri = str(tmp_path)
        Predictor.EXECUTOR_SPEC.executor_class._FUNCTION(
            examples=examples, predictions=predictions, near_distance=NEAR, **models
        )
        counts = HeldOut.model_validate_json((tmp_path / HELD_OUT_FILE).read_bytes())
        rows = [*read_rows(prediction_paths(tmp_path))]
        assert len(rows) == counts.kept
        return counts, {row.key for row in rows}

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


def test_drops_saved_again_pictures_that_the_reference_was_trained_on(
    train, predict, first, resaved
):
    reference, new = train(first), train(resaved)

    counts, kept = predict(resaved, model=new, reference_model=reference)

    before, after = digests_in(first, TRAIN, EVAL), digests_in(resaved, TEST)
    leaked = {
        digest(other)
        for image, other in zip(images(), images(quality=70), strict=True)
        if digest(image) in before and digest(other) in after
    }
    assert after - kept == leaked != set()
    assert counts == HeldOut(dropped=len(leaked), kept=len(kept))


def test_drops_images_that_an_ancestor_was_trained_on(train, predict, first, resaved):
    counts, _ = predict(resaved, model=train(resaved, base=train(first)))
    assert counts.dropped > 0


def test_keeps_all_images_without_overlap(train, predict, first):
    counts, kept = predict(first, model=train(first), reference_model=train(first))
    assert counts == HeldOut(dropped=0, kept=len(kept))
    assert kept == digests_in(first, TEST)


@pytest.mark.parametrize('case', ['splits', 'parts'])
def test_changed_division_leaves_out_images_of_the_old_training_splits(
    train, predict, ingest, case
):
    """Other shares; or a folder of train and validation that became a flat one."""
    parts = [
        each._replace(part=('train', 'eval_and_test')[n > 29]) for n, each in enumerate(images())
    ]
    before = ingest(parts if case == 'parts' else images())
    after = ingest(images(), splits={'train': 1, 'eval': 1, 'test': 3})

    counts, kept = predict(after, model=train(after), reference_model=train(before))

    dropped = digests_in(after, TEST) - kept
    assert dropped == digests_in(before, TRAIN, EVAL) & digests_in(after, TEST)
    assert counts.dropped == len(dropped) > 0


def test_nothing_is_left_and_models_without_index_drop_nothing(train, predict, first):
    old = standard_artifacts.Model()
    old.uri = '/nowhere'
    whole = read_record_index([f'{first}/Split-train/*'])
    whole['split'] = TRAIN
    model = train(first)
    assert predict(first, model=model, reference_model=old)[0].dropped == 0
    write_trained_images(whole, f'{model.uri}/Format-Serving', None)

    counts, kept = predict(first, model=model, reference_model=old)

    assert counts == HeldOut(dropped=len(digests_in(first, TEST)), kept=0)
    assert not kept


def entry(number, split=TEST, label=0, group=0, picture=None):
    sha256 = np.frombuffer(number.to_bytes(32, 'big'), np.uint8)
    return np.array([(sha256, PICTURES[picture or number], label, split, False, group)], IMAGE)


def test_judges_repeated_images_once_and_leaves_out_bytes_near_duplicates_and_groups():
    one = np.concatenate([entry(1), entry(2, label=1), entry(3, TRAIN), entry(4, group=9)])
    other = np.concatenate([entry(1), entry(5, picture=3), entry(6, group=8)])
    trained = np.concatenate([entry(2), entry(3), entry(7, group=9)])

    kept, counts = find_held_out(distinct_images([one, other]), [trained], NEAR)

    assert counts == HeldOut(dropped=3, kept=2)
    assert {int(key, 16): group for key, group in groups_of(kept).items()} == {1: 0, 6: 8}
    kept, _ = find_held_out(distinct_images([one, other]), [trained], 0)
    assert {int(key, 16) for key in groups_of(kept)} == {1, 5, 6}


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
