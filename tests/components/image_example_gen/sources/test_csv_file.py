import os

import pytest

from common.errors import DataError
from components.image_example_gen.sources.base import columns as csv_columns
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import BadImage, every_image
from components.image_example_gen.sources.detect import detect
from components.image_example_gen.sources.spans import make_source

ROWS = 'path,label\na.jpg,cat\nb.jpg,dog\nmore/c.jpg,cat\n'
IMAGES = ('a.jpg', 'b.jpg', 'more/c.jpg', '../outside.jpg')


@pytest.fixture
def make(make_files):
    """`make({'labels.csv': TEXT}, *images)` writes tables and images, with their names in them."""
    return lambda tables, *images: make_files({n: n for n in images or IMAGES} | tables)


def source_of(path, **keys):
    return make_source(DataConfig(source='csv', path=path, **keys))


def read(path, **keys):
    """Class, part, source and group, or the reason, by file name."""
    source = source_of(path, **keys)
    return {
        each.filename: each.reason
        if isinstance(each, BadImage)
        else (source.classes[each.label], each.part, each.source, each.group)
        for each in every_image(source)
    }


def parts_of(source):
    return [image.part for image in every_image(source)]


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('labels.csv', '\ufeff' + ROWS),
        ('LABELS.CSV', ROWS.replace(',', ';')),
        ('labels.tsv', ROWS.replace(',', '\t')),
        ('labels.csv', ROWS.replace('\n', '\r\n')),
        ('labels.csv', ROWS.replace('path', '"File Name"').replace('label', ' CLASS ')),
        ('labels.csv', ROWS.replace('more/', '.\\more\\')),
        ('labels.csv', ROWS.replace('path,label', 'anything,what')),  # by values; the one left
        ('labels.csv', ROWS.replace('.jpg', '').replace('path', 'id')),
        ('labels.csv', 'x,image,n,emotion\n1,a.jpg,"1\n2",cat\n2,b.jpg,,dog\n3,more/c.jpg,,cat\n'),
        ('labels.csv', ROWS.partition('\n')[2]),  # without a header
        ('labels.csv', 'a.jpg, cat, 0\nb.jpg, dog, 1\nmore/c.jpg, cat, 0\n'),
        ('list.txt', ROWS.partition('\n')[2].replace(',', ' ')),
        ('list.txt', ROWS.replace(',', ' ')),
    ],
)
def test_reads_usual_forms_of_tables(make, name, text):
    folder = make({name: text, 'readme.txt': 'Photographs of pets.\n'})

    assert [found[0] for found in read(folder).values()] == ['cat', 'dog', 'cat']
    assert [found[2] for found in read(folder).values()] == ['pets', 'pets', 'more']
    assert detect(str(folder)).source == detect(str(folder / name)).source == 'csv'


@pytest.mark.parametrize(
    ('table', 'folders'),
    [
        ('legend.csv', 'images images images'),
        ('data/legend.csv', 'images images images'),
        ('legend.csv', 'images/part_1 images/part_2 images/part_1'),
        ('data/legend.csv', 'data data data'),
        ('train.csv', 'train_images train_images test_images'),
    ],
)
def test_finds_images_beside_the_table(make, table, folders):
    images = [f'{folder}/{n}.jpg' for n, folder in enumerate(folders.split())]
    folder = make({table: 'user,image,emotion\n1,0.jpg,HAPPY\n2,1.jpg,sad\n1,2.jpg,sad'}, *images)

    assert detect(str(folder)).source == 'csv'
    assert [*read(folder)] == images


def test_class_folders_are_preferred_to_a_table(make):
    names = 'cat/1.jpg', 'dog/1.jpg'
    found = detect(str(make({'labels.csv': 'path,label\ncat/1.jpg,a\ndog/1.jpg,b\n'}, *names)))
    assert found.source == 'folder'
    assert 'not read: labels.csv' in found.layout


def test_columns_may_be_named(make):
    rows = 'a.jpg,cat,Train', 'b.jpg,dog,TEST', 'b.jpg,cat,test', 'a.jpg,dog,train'
    folder = make({'labels.csv': '\nx,y,'.join(['path,label,photo,kind,use', *rows])})

    source = source_of(folder, columns={'image': 'photo', 'label': 'kind', 'split': 'use'})
    assert parts_of(source) == ['train_and_eval', 'test', 'test', 'train_and_eval']


@pytest.mark.parametrize(
    ('column', 'values', 'parts', 'note'),
    [
        ('data set', 'train train valid valid', ['train'] * 2 + ['eval_and_test'] * 2, ''),
        ('is_valid', 'False False True True', ['train'] * 2 + ['eval_and_test'] * 2, ''),
        (
            'split',
            'train train test extra',
            ['train_and_eval'] * 2 + ['test'],
            'extra: 1 images',
        ),
        ('split', 'train train extra extra', [None] * 2, 'extra: 2 images in no part are left out'),
        ('set', 'a b a b', [None] * 4, 'not divided: a, b are no names'),
    ],
)
def test_column_divides_the_images(make, column, values, parts, note):
    rows = zip(['a.jpg,cat', 'b.jpg,dog'] * 2, values.split(), strict=True)
    folder = make({'labels.csv': '\n'.join([f'path,label,{column}', *map(','.join, rows)])})

    source = source_of(folder)
    assert parts_of(source) == parts
    assert note in ' '.join(source.notes)
    assert bool(note) == bool(source.notes)
    assert {*parts_of(source_of(folder, columns={'split': ''}))} == {None}


def test_names_of_tables_divide_the_images(make):
    rows = 'path,label\na.jpg,cat\nb.jpg,dog\n'
    others = {'test.csv': 'path\nmore/c.jpg\n', 'sample_submission.csv': 'path,label\n9.jpg,4\n'}

    source = source_of(make({'train.csv': rows, 'valid.csv': rows, **others}))
    assert parts_of(source) == ['train', 'train', 'eval_and_test', 'eval_and_test']
    assert 'test: 1 images without labels are left out' in source.notes


def test_labels_of_a_part_that_is_left_out_name_no_class(make):
    rows = 'path,label,split\na.jpg,0,train\nb.jpg,1,train\nmore/c.jpg,unknown,test\n'

    source = source_of(make({'labels.csv': rows}), classes=['cat', 'dog'])
    assert source.counts == {'cat': 1, 'dog': 1}


def test_files_that_are_missing_make_no_class(make):
    source = source_of(make({'labels.csv': 'path,label\na.jpg,cat\nb.jpg,dog\nno.jpg,fox\n'}))
    assert (source.classes, source.count) == (('cat', 'dog'), 3)


def test_groups_are_those_of_a_column_or_of_names(make):
    folder = make({'labels.csv': 'path,label,subject\na.jpg,cat,7\nb.jpg,dog,\n'})

    for group_by, groups in (
        ({'column': 'subject'}, ['7', None]),
        ({'pattern': '^(.)'}, ['a', 'b']),
    ):
        assert [found[3] for found in read(folder, group_by=group_by).values()] == groups


def test_rows_without_a_usable_image_are_bad_images(make):
    text = 'gone.jpg,cat\nlabels.csv,cat\nmore,dog\npipe.jpg,dog\na.jpg,\n,cat\na.jpg,wolf\n'
    folder = make({})
    make({'labels.csv': ROWS + text + f'../outside.jpg,cat\n{folder.parent}/outside.jpg,dog\n'})
    os.mkfifo(folder / 'pipe.jpg')

    source = source_of(folder, classes=['cat', 'dog'])
    bad = [each for each in every_image(source) if isinstance(each, BadImage)]
    outside = [each.contents for each in every_image(source) if each not in bad][-2:]
    assert (source.count, outside) == (12, [b'../outside.jpg'] * 2)
    assert [(each.filename, each.reason) for each in bad] == [
        ('gone.jpg', 'unreadable'),
        ('labels.csv', 'not an image'),
        ('more', 'not an image'),
        ('pipe.jpg', 'unreadable'),
        ('a.jpg', 'label outside the list'),
        ('row 9', 'not an image'),
        ('a.jpg', 'unknown class'),
    ]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'is empty; expected a line such as path,label'),
        ('path,label\n', 'no image is listed below the header'),
        ('path,label\nx.jpg,cat\n', 'none of its 1 images exists, such as x.jpg'),
        ('path,colour,size\na.jpg,red,1\n', r'usual name for the classes.*--set data\.'),
        ('x,label\na,red\n', 'none with paths of images'),
        ('path,label,path\na.jpg,cat,a.jpg\n', "'path' twice"),
        (ROWS + 'd.jpg\n', 'row 4 has 1 fields; expected 2'),
        (ROWS + 'd.jpg,"cat\n', 'unexpected end of data'),
        (ROWS + 'd.jpg,' + 'x' * 200_000 + '\n', 'field larger than field limit'),
        (ROWS.encode('utf-16'), 'is not UTF-8'),
        (ROWS.encode() + b'\xff,cat\n', 'is not UTF-8'),
        ('path,label\na.jpg,cat\nb.jpg,do\x07g\n', 'with control characters'),
    ],
)
def test_rejects_bad_tables_with_one_line(make, text, message):
    folder = make({'labels.csv': text})
    with pytest.raises(DataError, match=message) as raised:
        source_of(folder / 'labels.csv')
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    ('name', 'keys', 'message'),
    [
        ('labels.csv', {'columns': {'image': 'photo'}}, "no column 'photo'; correct data.columns"),
        ('labels.csv', {'group_by': {'column': 'film'}}, "no column 'film'; correct"),
        ('', {}, r'has labels\.csv, more\.csv; give the path of one'),
    ],
)
def test_rejects_missing_columns_and_several_files(make, name, keys, message):
    folder = make({'labels.csv': ROWS, 'more.csv': ROWS})
    with pytest.raises(DataError, match=message):
        source_of(folder / name, **keys)


def test_number_of_rows_and_lengths_are_limited(make, monkeypatch):
    text = f'path,label\na.jpg,0\nb.jpg,1\nb.jpg,{"1" * 5000}\n{"x" * 100_000}.jpg,1\n'
    folder = make({'labels.csv': text})
    *_, label, path = every_image(source_of(folder, classes=['0', '1']))
    assert len(label.detail) < 200
    assert len(path.filename) == 4096

    monkeypatch.setattr(csv_columns, '_MOST_ROWS', 2)
    with pytest.raises(DataError, match='has more than 2 rows; divide it'):
        source_of(folder)


def test_fingerprint_depends_on_columns_and_not_on_unlisted_images(make):
    folder = make({'labels.csv': ROWS})
    found = [source_of(folder).fingerprint, source_of(folder, columns={'split': ''}).fingerprint]
    (folder / 'unlisted.jpg').write_text('d')

    assert source_of(folder).fingerprint == found[0] != found[1]
