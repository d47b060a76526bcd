from pathlib import Path

import pytest
from tfrecord_files import example, write_tfrecord

from common import features
from common.errors import DataError
from components.image_example_gen.sources.base.source_protocol import every_image
from components.image_example_gen.sources.tfrecord.canonical import CanonicalSource

NAME = 'data_tfrecord-00000-of-00001'


def write_split(folder: Path, split: str, labels: list[int]) -> None:
    """Writes the canonical records of a split, with the features that the source reads."""
    keys = (features.IMAGE_BYTES, features.LABEL, features.FILENAME)
    rows = [(f'{split}{n}'.encode(), label, b'%d.jpg' % n) for n, label in enumerate(labels)]
    examples = [example(**dict(zip(keys, row, strict=True))) for row in rows]
    write_tfrecord(folder / f'Split-{split}' / NAME, examples)


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / 'records'
    for split in features.SPLITS:
        write_split(folder, split, [0, 1, 1])
    (folder / 'manifest.json').write_text('{"source": {"classes": ["cat", "dog"]}}')
    return folder


@pytest.mark.parametrize('renamed', [None, ('dog', 'cat')])
def test_reads_every_image_once_with_classes_of_manifest_or_recipe(folder, renamed):
    source = CanonicalSource(folder, renamed)

    assert (source.classes, source.count) == (renamed or ('cat', 'dog'), 9)
    images = [(image.contents, image.label, image.filename) for image in every_image(source)]
    assert images == [
        (f'{split}{n}'.encode(), min(n, 1), f'Split-{split}/{NAME}:{n} ({n}.jpg)')
        for split in features.SPLITS
        for n in range(3)
    ]


@pytest.mark.parametrize(
    ('manifest', 'message'),
    [
        ('', 'does not name its classes'),
        ('{', 'does not name its classes'),
        ('{"source": null}', 'does not name its classes'),
        ('{"source": {"classes": ["a", "b"]}, "counts": {"test": {"b": 0}}}', "of class 'b'"),
    ],
)
def test_unsuitable_manifest_is_an_error(folder, manifest, message):
    (folder / 'manifest.json').write_text(manifest)

    with pytest.raises(DataError, match=message):
        CanonicalSource(folder)


def test_missing_folder_or_records_are_an_error(folder):
    write_split(folder, 'test', [])
    with pytest.raises(DataError, match='/Split-test has no images'):
        CanonicalSource(folder)
    (folder / 'Split-eval').rename(folder / 'Split-validation')
    for path, split in ((folder, 'eval'), (folder / 'nowhere', 'train')):
        with pytest.raises(DataError, match=f'{path}/Split-{split} has no record files; give a f'):
            CanonicalSource(path)


def test_fingerprint_depends_on_record_files_only(folder):
    before = CanonicalSource(folder).fingerprint
    (folder / 'Split-train' / '.notes').touch()
    assert CanonicalSource(folder).fingerprint == before
    write_split(folder, 'test', [0, 1, 1, 1])
    assert CanonicalSource(folder).fingerprint != before
