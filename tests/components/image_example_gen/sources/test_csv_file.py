import os

import pytest

from common.errors import DataError
from components.image_example_gen.sources import csv_file
from components.image_example_gen.sources.base.csv_columns import CsvColumns
from components.image_example_gen.sources.base.groups import GroupConfig
from components.image_example_gen.sources.base.source_protocol import BadImage, every_image
from components.image_example_gen.sources.csv_file import CsvSource

ROWS = 'path,label\na.jpg,cat\nb.jpg,dog\nmore/c.jpg,cat\n'


@pytest.fixture
def make(tmp_path):
    """`make(text)` writes labels.csv next to four images with their names as contents."""

    def write(text, name='labels.csv'):
        folder = tmp_path / 'pets'
        (folder / 'more').mkdir(parents=True, exist_ok=True)
        for image in ('a.jpg', 'b.jpg', 'more/c.jpg', '../outside.jpg'):
            (folder / image).write_text(image)
        file = folder / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


def read(source):
    """Class, part, source and group, or the reason, by file name."""
    return {
        each.filename: each.reason
        if isinstance(each, BadImage)
        else (source.classes[each.label], each.part, each.source, each.group)
        for each in every_image(source)
    }


@pytest.mark.parametrize('folder', [False, True])
def test_reads_images_that_are_listed(make, folder):
    file = make(ROWS)
    source = CsvSource(file.parent if folder else file)

    assert source.classes == ('cat', 'dog')
    assert [each.contents for each in every_image(source)] == [b'a.jpg', b'b.jpg', b'more/c.jpg']
    assert read(source) == {
        'a.jpg': ('cat', None, 'pets', None),
        'b.jpg': ('dog', None, 'pets', None),
        'more/c.jpg': ('cat', None, 'more', None),
    }


@pytest.mark.parametrize(
    'text',
    [
        '\ufeff' + ROWS,
        ROWS.replace(',', ';'),
        ROWS.replace(',', '\t'),
        ROWS.replace('\n', '\r\n'),
        ROWS.replace('path', '"File Name"').replace('label', ' CLASS '),
        ROWS.replace('\n', '\n\n'),
        ROWS.replace('a.jpg', '"a.jpg"'),
        'id,image,x,category\n1,a.jpg,"1\n2",cat\n2,b.jpg,,dog\n3,more/c.jpg,,cat\n',
    ],
)
def test_reads_usual_forms_of_csv(make, text):
    assert [each[0] for each in read(CsvSource(make(text))).values()] == ['cat', 'dog', 'cat']


def test_columns_may_be_named(make):
    text = 'path,label,photo,kind,use\nx,y,a.jpg,cat,Train\nx,y,b.jpg,dog,TEST\n'
    columns = CsvColumns(path='photo', label='kind', split='use')
    source = CsvSource(make(text), columns=columns, complete=False)

    assert [each[:2] for each in read(source).values()] == [
        ('cat', 'train_and_eval'),
        ('dog', 'test'),
    ]


def test_split_column_divides_the_images(make):
    rows = ''.join(
        f'{name},{label},{split}\n'
        for split in ('train', 'val', 'test')
        for name, label in (('a.jpg', 'cat'), ('b.jpg', 'dog'))
    )
    source = CsvSource(make(f'path,label,split\n{rows}'))
    assert [each.part for each in every_image(source)] == [
        *('train', 'train'),
        *('eval', 'eval'),
        *('test', 'test'),
    ]
    ignored = CsvSource(make(f'path,label,split\n{rows}'), columns=CsvColumns(split=''))
    assert {each.part for each in every_image(ignored)} == {None}


def test_groups_are_those_of_a_column_or_of_names(make):
    text = 'path,label,subject\na.jpg,cat,7\nb.jpg,dog,\n'

    by_column = CsvSource(make(text), group_by=GroupConfig(column='subject'))
    by_name = CsvSource(make(text), group_by=GroupConfig(pattern='^(.)'))

    assert [each[3] for each in read(by_column).values()] == ['7', None]
    assert [each[3] for each in read(by_name).values()] == ['a', 'b']


def test_numbers_are_indices_of_listed_classes(make):
    text = 'path,label\na.jpg,1\nb.jpg,0\nmore/c.jpg,2\n'

    named = read(CsvSource(make(text), ('dog', 'cat')))

    assert [each[0] for each in named.values()] == ['cat', 'dog', 'l']  # of 'label outside ...'
    assert CsvSource(make(text)).classes == ('0', '1', '2')
    assert CsvSource(make(text), ('2', '0', '1')).classes == ('2', '0', '1')


def test_paths_may_lead_out_of_the_folder(make):
    file = make(ROWS)
    outside = file.parent.parent / 'outside.jpg'
    make(f'path,label\n../outside.jpg,cat\n{outside},dog\n')

    assert [each.contents for each in every_image(CsvSource(file))] == [b'../outside.jpg'] * 2


def test_rows_without_a_usable_image_are_bad_images(make, tmp_path):
    text = ROWS + 'gone.jpg,cat\nlabels.csv,cat\nmore,dog\npipe.jpg,dog\na.jpg,\n,cat\na.jpg,wolf\n'
    file = make(text)
    os.mkfifo(file.parent / 'pipe.jpg')

    source = CsvSource(file, ('cat', 'dog'))
    bad = [each for each in every_image(source) if isinstance(each, BadImage)]

    assert source.count == 10
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
        ('', 'has no header; expected a first line such as path,label'),
        ('path,label\n', 'has no images: it has only a header'),
        ('path,label\nx.jpg,cat\n', 'none of its 1 images can be used, such as x.jpg'),
        ('a.jpg,cat\nb.jpg,dog\n', "line 1 has the columns 'a.jpg', 'cat', and none of a usual"),
        ('path,colour\na.jpg,red\n', 'none of a usual name for the classes of images; expected'),
        ('path,label,path\na.jpg,cat,a.jpg\n', "line 1 has the column 'path' twice; rename one"),
        (ROWS + 'd.jpg\n', 'row 4 after the header has 1 fields, and the header has 2'),
        (ROWS + 'd.jpg,cat,cat\n', 'row 4 after the header has 3 fields'),
        (ROWS + 'd.jpg,"cat\n', 'is not CSV: unexpected end of data'),
        (ROWS + 'd.jpg,' + 'x' * 200_000 + '\n', 'is not CSV: field larger than field limit'),
        (ROWS + 'x' * 2**21, 'has more than 1,048,576 characters'),
        (ROWS.encode('utf-16'), 'is not UTF-8, from line 1 on'),
        (ROWS.encode() + b'\xff,cat\n', 'is not UTF-8'),
        (
            'path,label\na.jpg,cat\n',
            r'1 class \(cat\); expected two or more: two names in col',
        ),
        ('path,label,split\na.jpg,cat,train\nb.jpg,dog,\n', 'row 2 after the header names no part'),
        ('path,label,split\na.jpg,cat,train\nb.jpg,dog,rest\n', 'is divided into rest, train; exp'),
        ('path,label\na.jpg,cat\nb.jpg,do\x07g\n', 'with control characters'),
    ],
)
def test_rejects_bad_csv_with_one_line(make, text, message):
    with pytest.raises(DataError, match=message) as raised:
        CsvSource(make(text))
    assert '\n' not in str(raised.value)


def test_long_texts_are_bad_images_with_short_messages(make):
    text = f'path,label\na.jpg,0\nb.jpg,1\nb.jpg,{"1" * 5000}\n{"x" * 100_000}.jpg,1\n'
    source = CsvSource(make(text), ('cat', 'dog'))

    *_, label, path = every_image(source)

    assert (label.reason, path.reason) == ('label outside the list', 'not an image')
    assert len(label.detail) < 200
    assert len(path.filename) == 4096


def test_rejects_missing_columns_and_files(make, tmp_path):
    file = make(ROWS)
    with pytest.raises(DataError, match="no column 'photo'; correct data"):
        CsvSource(file, columns=CsvColumns(path='photo'))
    with pytest.raises(DataError, match=r"no column 'film'; correct .* or data\.group_by"):
        CsvSource(file, group_by=GroupConfig(column='film'))
    with pytest.raises(DataError, match='does not exist; give a CSV file, or a folder with one'):
        CsvSource(tmp_path / 'nowhere.csv')
    make(ROWS, 'more.csv')
    with pytest.raises(DataError, match=r'has labels\.csv, more\.csv; give the path of one'):
        CsvSource(file.parent)


def test_number_of_rows_is_limited(make, monkeypatch):
    monkeypatch.setattr(csv_file, '_MOST_ROWS', 2)
    with pytest.raises(DataError, match='has more than 2 rows; divide it'):
        CsvSource(make(ROWS))


def test_fingerprint_changes_with_rows_columns_and_images(make):
    file = make(ROWS)
    found = [CsvSource(file).fingerprint]
    for change in (
        lambda: file.write_text(ROWS + 'd.jpg,dog\n'),
        lambda: (file.parent / 'd.jpg').write_text('d'),
        lambda: (file.parent / 'a.jpg').write_text('changed'),
    ):
        change()
        found.append(CsvSource(file).fingerprint)
    found.append(CsvSource(file, columns=CsvColumns(split='')).fingerprint)

    assert len(set(found)) == 5
    (file.parent / 'unlisted.jpg').write_text('d')
    assert CsvSource(file).fingerprint == found[3]
