"""Warnings about surveyed images, and the picture with a few of them."""

from collections import Counter

import PIL.Image
import pytest

from components.image_example_gen.sources.base.data_config import DataConfig
from pipeline.new_recipe import contact_sheet
from pipeline.new_recipe.survey import Name, Sample, Survey
from pipeline.new_recipe.warnings import group_hint, warnings

NUMBERED = ['person{group}_{number}.jpeg', 'P{group}-a{number}.jpg', 'eye{group}.{number}.png']


def surveyed(classes, names=()):
    sample = Sample(classes=Counter(classes), names=list(names))
    for number, name in enumerate(classes):
        sample.pictures[name] = [PIL.Image.new('RGB', (80, 60), (number, 199, 50))] * 9
    return Survey(
        data=DataConfig(source='folder', path='pets'),
        layout='a folder per class',
        count=sum(classes.values()),
        spans=(),
        classes=classes,
        is_exact=True,
        group_by=None,
        notes=(),
        sample=sample,
    )


def test_no_warnings_about_usual_classes():
    assert warnings(surveyed({'cats': 290, 'dogs': 10})) == []


def test_warns_of_classes_of_one_or_two_images():
    (line,) = warnings(surveyed({'a': 1, 'b': 2, 'c': 3, 'd': 4}))
    assert line.startswith('a 1, b 2: too few images')
    assert 'data.classes' in line


def test_proposes_class_weights_for_rare_classes():
    (line,) = warnings(surveyed({f'rare {n}': 10 + n for n in range(7)} | {'often': 1001}))
    assert '100 times' in line
    assert 'rare 0 10, rare 1 11, rare 2 12, rare 3 13, rare 4 14 and 2 more classes' in line
    assert 'trainer.class_weights: balanced' in line


@pytest.mark.parametrize('pattern', NUMBERED)
def test_hints_at_groups_that_train_and_test_share(pattern):
    names = [
        Name('ab'[group % 2], part, (pattern.format(group=group, number=number),))
        for group in range(8)
        for number, part in enumerate(['train', 'test' if group < 5 else 'train'])
    ]
    hint = group_hint(names)
    assert '5 have images in train and in validation or test' in hint
    assert '--set data.group_by.pattern=' in hint
    assert hint in warnings(surveyed({'a': 8, 'b': 8}, names))


@pytest.mark.parametrize('pattern', NUMBERED)
def test_hints_at_groups_of_several_images(pattern):
    names = [
        Name('ab'[group % 2], None, (pattern.format(group=group, number=number),))
        for group in range(30)
        for number in range(1 if group < 5 else 4)
    ]
    assert '25 have several images' in group_hint(names)


@pytest.mark.parametrize(
    'pattern',
    ['n0208{label}_{number}.JPEG', 'cat.{number}.jpg', 'IMG_{number}.jpg', 'a{number}.png'],
)
def test_numbers_of_images_and_names_of_classes_are_no_groups(pattern):
    names = [
        Name(str(label), part, (pattern.format(label=label, number=number),))
        for label in range(40)
        for number in range(6)
        for part in ('train', 'test')
    ]
    assert group_hint(names) is None


@pytest.mark.parametrize('classes', [2, 30, 100, 150])
def test_picture_has_images_of_each_class(classes):
    found = surveyed({f'class {number}': 5 for number in range(classes)})
    sheet = contact_sheet.draw(found, {'train': 6, 'eval': 2, 'test': 2})

    shown = {red for _, (red, green, blue) in sheet.getcolors(10**6) if (green, blue) == (199, 50)}
    assert shown == set(range(min(classes, 100)))
    assert max(sheet.size) < 4000


def test_picture_has_names_in_any_language():
    names = ['a' * 255, 'Grüne Tonne', '\u65e5\u672c\u8a9e', '\u043a\u043e\u0442', 'a\u0308']
    sheet = contact_sheet.draw(surveyed(dict.fromkeys(names, 1)), {'train': 3})
    assert sheet.width < 1000
