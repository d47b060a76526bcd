"""Groups and warnings of surveyed images, and the picture with a few of them."""

import PIL.Image
import pytest

from components.image_example_gen.sources.base.data_config import DataConfig
from pipeline.new_recipe import contact_sheet
from pipeline.new_recipe.groups import Name, evident_groups, group_hint
from pipeline.new_recipe.survey import Survey
from pipeline.new_recipe.warnings import warnings


def surveyed(classes, names=()):
    found = Survey(
        data=DataConfig(source='folder', path='pets'),
        layout='a folder per class',
        count=sum(classes.values()),
        classes=classes,
        names=list(names),
    )
    for number, name in enumerate(classes):
        found.pictures[name] = [PIL.Image.new('RGB', (80, 60), (number, 199, 50))] * 9
    return found


@pytest.mark.parametrize(
    ('classes', 'words'),
    [
        ({'ant': 1, 'bee': 2, 'cat': 3}, ['ant 1, bee 2: too few images', 'data.classes']),
        (
            {f'rare {n}': 10 + n for n in range(7)} | {'often': 1001},
            ['100 times', 'rare 0 10, rare 1 11, rare 2 12, rare 3 13, rare 4 14 and 2 more'],
        ),
    ],
)
def test_warns_of_small_classes(classes, words):
    (line,) = warnings(surveyed(classes))
    assert all(word in line for word in words)
    assert warnings(surveyed({'cats': 290, 'dogs': 10})) == []


@pytest.mark.parametrize(
    'pattern', ['person{group}_{number}.jpeg', 'P{group}-a{number}.jpg', 'eye{group}.{number}.png']
)
def test_hints_at_groups_in_numbered_names(pattern):
    def names(parts_of):
        return [
            Name('ab'[group % 2], part, (pattern.format(group=group, number=number),))
            for group in range(30)
            for number, part in enumerate(parts_of(group))
        ]

    divided = names(lambda group: ['train', 'test' if group < 5 else 'train'])
    hint = group_hint(divided)
    assert '5 have images in train and in validation or test' in hint
    assert '--set data.group_by.pattern=' in hint
    assert warnings(surveyed({'cats': 30, 'dogs': 30}, divided)) == [hint]
    undivided = names(lambda group: [None] * (1 if group < 5 else 4))
    assert '25 have several images' in group_hint(undivided)


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


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['film{group}/{number}.jpg'], {'folder': 1}),
        (['walk{group}_frame{number}.jpg'], {'pattern': r'^(.+)[_.-]frame[_.-]?\d+'}),
        (['IMG_{group}{number}.jpg'], None),
        (['{number}/{group}.jpg'], None),  # folders of a few sources are no groups
        (['film{group}/{number}.jpg', 'other{group}{number}.jpg'], None),
    ],
    ids=str,
)
def test_groups_are_written_only_if_they_are_evident(names, expected):
    found = evident_groups(
        [
            Name('cats', None, tuple(name.format(group=group, number=number).split('/')))
            for name in names
            for group in range(30)
            for number in range(5)
        ]
    )

    assert (found.model_dump(exclude_none=True) if found else None) == expected


@pytest.mark.parametrize('classes', [2, 30, 150])
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
