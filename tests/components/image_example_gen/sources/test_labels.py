"""Class names, and what the names of parts and sources say."""

import pytest

from common.errors import DataError
from components.image_example_gen.sources.base.labels import make_labels, require_classes
from components.image_example_gen.sources.base.parts import (
    MOST,
    OTHERS,
    divide,
    kind_of,
    limit_sources,
    part_of,
    parts_of,
)


def labelled(seen, wanted=None):
    """The class name of each label, and the notes."""
    seen = [*seen]
    counts = dict.fromkeys(seen, 5)
    labels = make_labels('pets', counts, wanted)
    require_classes('pets', labels.classes, labels.count(counts), complete=True)
    indices = {label: labels.index(label) for label in seen}
    return {k: None if n is None else labels.classes[n] for k, n in indices.items()}, labels.notes


@pytest.mark.parametrize(
    ('seen', 'wanted', 'classes'),
    [
        ([0, 1], None, ['0', '1']),
        ([0, 1], ('cat', 'dog'), ['cat', 'dog']),
        ([1, 2], ('cat', 'dog'), ['cat', 'dog']),  # from 1
        (['Cat', 'Dog'], ('dog', 'cat'), ['cat', 'dog']),
        ([0, 1], {'0': 'cat', '1': 'dog'}, ['cat', 'dog']),
        (['0.0', '1.0'], ('a', 'b'), ['a', 'b']),
        ([0.0, 1.0], None, ['0', '1']),
        (['False', 'True'], ('a', 'b'), ['a', 'b']),
        (['01', '02'], None, ['01', '02']),
        (['a', 'A', 'b'], {'a': 'cat', 'A': 'cat', 'b': 'dog'}, ['cat', 'cat', 'dog']),
        (['cats', 'CATS ', 'dogs'], ('cats', 'dogs'), ['cats', 'cats', 'dogs']),
        (['a', 'b', '-1', '', None], None, ['a', 'b', None, None, None]),
        (['Ku\u0308he', 'Hunde'], ('K\u00fche', 'Hunde'), ['K\u00fche', 'Hunde']),
    ],
)  # fmt: skip
def test_names_of_labels(seen, wanted, classes):
    assert [*labelled(seen, wanted)[0].values()] == classes


@pytest.mark.parametrize(
    ('seen', 'wanted', 'message'),
    [
        (['Cat', 'Dog'], ('katze', 'hund'), "class 'katze' has no images"),
        (['cat', 'dog'], ('cat', 'dgo'), "class 'dgo' has no images"),
        (['cat'], None, 'expected two or more'),
        (['cat', 'dog'], {'wolf': 'a', 'cat': 'b'}, "class 'a' has no images"),
        *(
            (['cats', name], None, r'has the class name .*; rename it')
            for name in (' ', 'a\nb', 'ca\udcffts', 'x' * 256, 'ü' * 128)
        ),
        (map(str, range(10_001)), None, 'more than 10,000 classes'),
    ],
)
def test_rejects_other_lists_of_classes(seen, wanted, message):
    with pytest.raises(DataError, match=message):
        labelled(seen, wanted)


def test_labels_from_one_and_similar_names_are_noted():
    assert 'its labels are 1 to 2: 1 is cat' in labelled([1, 2], ('cat', 'dog'))[1]
    (note,) = labelled(['cats', 'cats ', 'dogs'])[1]
    assert "'cats' (5 images), 'cats ' (5 images)" in note


@pytest.mark.parametrize(
    ('kind', 'names'),
    [
        ('train', 'train Training train_set train-00000-of-00001.parquet a/train/0.parquet'),
        ('validation', 'val valid dev Validation eval validate a/validation-00-of-02-0a1b.parquet'),
        ('test', 'test test1 TESTING test.tfrecord cats-test.tfrecord-00000-of-00004 test.csv.gz'),
        (None, 'cats latest.parquet unlabelled tested contest train_notes traindogs'),
    ],
)  # fmt: skip
def test_names_of_parts(kind, names):
    assert {name: kind_of(name) for name in names.split()} == dict.fromkeys(names.split(), kind)


def test_values_of_parts():
    assert part_of('split', ' Train ') == 'train'
    assert part_of('is_valid', 'True') == part_of('Is Valid', '1') == 'validation'
    assert part_of('is_valid', 'False') == 'train'
    assert (part_of('is_valid', 'x'), part_of('split', '1')) == ('x', '1')


@pytest.mark.parametrize(
    ('names', 'parts'),
    [
        ('train rest', {}),
        ('train val', {'train': 'train', 'val': 'eval_and_test'}),
        ('train test x', {'train': 'train_and_eval', 'test': 'test'}),
        ('train-0-of-1.gz test.csv', {'train-0-of-1.gz': 'train_and_eval', 'test.csv': 'test'}),
    ],
)
def test_parts_depend_on_each_other(names, parts):
    assert parts_of('a', names.split()) == parts
    with pytest.raises(DataError, match='without train'):
        parts_of('a', ['test', 'val'])


def test_parts_without_known_labels_and_images_in_no_part_are_left_out():
    seen = {('train', 'cat'): 9, ('train', 'dog'): 9, ('val', 'cat'): 3, ('', 'cat'): 1}
    parts, notes = divide('a', {**seen, ('test', -1): 7})

    assert parts == {'train': 'train', 'val': 'eval_and_test'}
    assert 'other images: 1 images in no part are left out' in notes
    assert 'test: 7 images without labels are left out' in notes
    with pytest.raises(DataError, match='no images with a label'):
        divide('a', {('', None): 5})


def test_sources_are_limited():
    limited = limit_sources({str(number): number for number in range(1, 31)} | {'': 100})
    assert set(limited.values()) == {*map(str, range(12, 31)), OTHERS, ''}
    assert len(set(limited.values())) == MOST + 1
