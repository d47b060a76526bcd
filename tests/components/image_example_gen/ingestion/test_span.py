import json
import os
import shutil

import pytest
from made_images import CLASSES, MemorySource, encoded, labelled, picture, value

from common import features
from common.errors import DataError
from components.image_example_gen.ingestion import transforms
from components.image_example_gen.ingestion.quarantine import read_quarantined
from components.image_example_gen.ingestion.records import split_of
from components.image_example_gen.sources.base.config import SplitConfig
from components.image_example_gen.sources.base.source_protocol import BadImage

BAD = BadImage('dogs/gone.jpg', 'unreadable', 'it cannot be read: Permission denied')


def total(counts):
    return {split: sum(classes.values()) for split, classes in counts.items()}


def names_in(written):
    return set(written.split_of())


@pytest.fixture(scope='module')
def near():
    """A near-duplicate of each image in `forty`."""
    return [
        labelled(encoded(picture(seed=n), quality=30), f'{CLASSES[n % 2]}/near-{n}.jpg', n % 2)
        for n in range(40)
    ]


def is_linked(written, earlier):
    file = next(written.records.glob('Split-train/*'))
    return file.samefile(earlier.records / file.relative_to(written.records))


def test_writes_every_image_once(ingest, forty):
    written = ingest(forty)

    contents = [value(example, features.IMAGE_BYTES) for example in written.examples()]
    assert sorted(contents) == sorted(image.contents for image in forty)
    assert (written.ingested.tally.seen, written.ingested.tally.bad) == (40, {})


def test_splits_follow_digests_and_match_counts(ingest, forty):
    written = ingest(forty)

    for split in features.SPLITS:
        examples = written.examples(split)
        digests = [value(each, features.SHA256).decode() for each in examples]
        assert {split_of(digest, SplitConfig()) for digest in digests} == {split}
        found = [value(each, features.CLASS_NAME).decode() for each in examples]
        assert {name: found.count(name) for name in CLASSES} == written.ingested.counts[split]


def test_shard_has_a_file_in_every_split(ingest, forty):
    written = ingest(MemorySource(forty, per_shard=15))

    names = {file.name for file in written.records.glob('Split-*/*')}
    assert names == {f'data_tfrecord-{n:05d}-of-00003' for n in range(3)}
    assert len(list(written.records.glob('Split-*/*'))) == 9


def test_train_and_validation_of_the_source_are_kept(ingest, forty):
    images = [
        image._replace(part='train' if n < 10 else 'validation') for n, image in enumerate(forty)
    ]

    written = ingest(images, splits={'test_share_of_validation': 0.5})

    trained = {value(example, features.IMAGE_BYTES) for example in written.examples('train')}
    assert trained == {image.contents for image in forty[:10]}
    counts = total(written.ingested.counts)
    assert counts['eval'] + counts['test'] == 30


def test_image_in_train_and_validation_is_in_train(ingest, forty):
    images = [image._replace(part=part) for image in forty for part in ('validation', 'train')]

    written = ingest(images)

    assert total(written.ingested.counts) == {'train': 40, 'eval': 0, 'test': 0}
    assert written.ingested.tally.duplicates == 40


def test_bad_images_are_quarantined(ingest, forty):
    cut = labelled(forty[3].contents[:300], 'dogs/cut.jpg', 1)
    empty = labelled(b'', 'cats/empty.jpg')

    written = ingest([*forty, BAD, cut, empty])

    assert len(written.examples()) == 40
    assert written.ingested.tally.bad == {'unreadable': 1, 'truncated': 1, 'empty': 1}
    lines = {line['source']: line for line in read_quarantined(written.quarantine)}
    assert lines['dogs/gone.jpg']['detail'] == 'it cannot be read: Permission denied'
    assert lines['dogs/gone.jpg']['copy'] is None
    copy = written.quarantine / lines['dogs/cut.jpg']['copy']
    assert copy.read_bytes() == cut.contents
    assert lines['dogs/cut.jpg']['bytes'] == 300
    assert lines['cats/empty.jpg']['reason'] == 'empty'


def test_quarantine_limits_copies_but_not_the_list(ingest, forty):
    cut = [labelled(each.contents[:400], f'cats/{n}.jpg') for n, each in enumerate(forty[:10])]

    source = MemorySource([*forty, *cut], per_shard=100)
    written = ingest(source, checks={'quarantine_megabytes': 0.001})

    lines = list(read_quarantined(written.quarantine))
    assert len(lines) == 10
    assert sum(line['copy'] is not None for line in lines) == 2
    assert len(list(written.quarantine.glob('copies/*'))) == 2


def test_names_of_copies_are_sanitized(ingest, forty):
    bad = labelled(b'oh', '../../cats/../.. /etc/p@sswd\n.jpg')

    written = ingest([*forty, bad])

    (line,) = read_quarantined(written.quarantine)
    copy = written.quarantine / line['copy']
    assert copy.parent == written.quarantine / 'copies'
    assert copy.name.endswith('-p_sswd_.jpg')


def test_duplicates_are_skipped_and_counted(ingest, forty):
    copies = [image._replace(filename=f'again/{n}.jpg') for n, image in enumerate(forty[:5])]

    written = ingest([*forty, *copies])

    assert names_in(written) == {image.filename for image in forty}
    assert (written.ingested.tally.duplicates, written.ingested.tally.seen) == (5, 45)


def test_image_under_two_labels_is_quarantined(ingest, forty):
    again = forty[0]._replace(label=1, filename='dogs/same.jpg')

    written = ingest([*forty, again])

    lines = {line['source']: line for line in read_quarantined(written.quarantine)}
    assert set(lines) == {'cats/0.jpg', 'dogs/same.jpg'}
    assert lines['dogs/same.jpg']['reason'] == 'under two labels'
    detail = 'the same image, or a near-duplicate, is also labelled cats'
    assert lines['dogs/same.jpg']['detail'] == detail
    assert (written.quarantine / lines['cats/0.jpg']['copy']).read_bytes() == forty[0].contents
    assert not names_in(written) & set(lines)


def test_near_duplicates_share_a_split(ingest, forty, near):
    written = ingest(MemorySource([*forty, *near[:20]], per_shard=7))

    split_of_name = written.split_of()
    assert len(split_of_name) == 60
    for n in range(20):
        assert split_of_name[forty[n].filename] == split_of_name[near[n].filename]
    assert written.ingested.tally.moved > 0


def test_near_duplicates_follow_an_earlier_span(ingest, forty, near):
    first = ingest(forty)

    second = ingest(near, window=[first.ingested])

    before, after = first.split_of(), second.split_of()
    assert [after[image.filename] for image in near] == [before[image.filename] for image in forty]


def test_unchanged_span_is_linked(ingest, forty):
    bad = labelled(b'', 'cats/empty.jpg')
    first = ingest([*forty, bad])

    second = ingest([*forty, bad], earlier=[first])

    assert second.ingested == first.ingested
    for file in first.records.rglob('data_tfrecord-*'):
        assert file.samefile(second.records / file.relative_to(first.records))
    assert list(read_quarantined(second.quarantine)) == list(read_quarantined(first.quarantine))


def test_linked_records_survive_removal_of_the_original(ingest, forty):
    first = ingest(forty)
    second = ingest(forty, earlier=[first])

    shutil.rmtree(first.records)

    assert len(second.examples()) == 40


@pytest.mark.parametrize(
    'data', [{'splits': {'train': 1}}, {'checks': {'min_side': 17}}], ids=['splits', 'checks']
)
def test_changed_settings_write_span_again(ingest, forty, data):
    earlier = ingest(forty)

    written = ingest(forty, earlier=[earlier], **data)

    assert not is_linked(written, earlier)
    assert written.ingested.tally.used == 40


def test_changed_image_writes_span_again(ingest, forty):
    earlier = ingest(forty)
    images = [labelled(encoded(picture(seed=99)), 'cats/0.jpg'), *forty[1:]]

    written = ingest(images, earlier=[earlier])

    contents = {value(example, features.IMAGE_BYTES) for example in written.examples()}
    assert contents == {image.contents for image in images}


@pytest.mark.parametrize(
    ('name', 'size'),
    [
        ('records/Split-eval/data_tfrecord-00000-of-00002', None),
        ('records/index.npy', None),
        ('records/index.npy', 200),
        ('records/manifest.json', None),
        ('records/manifest.json', 20),
        ('quarantine/quarantined.jsonl', None),
    ],
)
def test_incomplete_span_is_written_again(ingest, forty, name, size):
    earlier = ingest(forty)
    file = earlier.records.parent / name
    if size is None:
        file.unlink()
    else:
        os.truncate(file, size)

    written = ingest(forty, earlier=[earlier])

    assert not is_linked(written, earlier)
    assert len(written.examples()) == 40


def test_spans_not_compared_with_each_other_are_not_linked(ingest, forty):
    one, other = ingest(forty[:20]), ingest(forty[20:])
    after = ingest(forty[20:], window=[one.ingested])

    def linked(*earlier):
        written = ingest(forty[20:], window=[one.ingested], earlier=earlier)
        return [each for each in earlier if is_linked(written, each)]

    assert linked(other) == []
    assert linked(other, after) == [after]


def test_span_with_conflicts_is_linked_only_with_the_conflicting_span(ingest, forty):
    other = ingest([forty[0]._replace(label=1), *forty[20:]])
    after = ingest(forty[:20], window=[other.ingested])
    assert after.ingested.tally.bad == {'under two labels': 1}

    alone = ingest(forty[:20], earlier=[after])
    again = ingest(forty[:20], window=[other.ingested], earlier=[after])

    assert alone.ingested.tally.bad == {}
    assert again.ingested == after.ingested


def test_span_with_unreadable_images_is_not_linked(ingest, forty):
    earlier = ingest([*forty, BAD])

    written = ingest([*forty, BAD], earlier=[earlier])

    assert not is_linked(written, earlier)


def test_images_also_in_other_spans_are_counted(ingest, forty):
    first = ingest(forty[:20])

    second = ingest(forty, window=[first.ingested])

    assert second.ingested.tally.repeated == 20
    assert len(second.examples()) == 40


def test_moving_records_is_idempotent(ingest, forty, near, monkeypatch):
    images = [*forty, *near[:20]]
    once = ingest(images).split_of()
    move = transforms.move_records

    def twice(*args):
        move(*args)
        return move(*args)

    monkeypatch.setattr(transforms, 'move_records', twice)

    assert ingest(images).split_of() == once


def test_temporary_files_are_removed(ingest, forty):
    written = ingest([*forty, labelled(b'oh', 'cats/a.jpg'), forty[0]._replace(label=1)])

    assert {each.name for each in written.records.iterdir()} == {
        'Split-train',
        'Split-eval',
        'Split-test',
        'index.npy',
        'manifest.json',
    }
    assert {each.name for each in written.quarantine.iterdir()} == {'quarantined.jsonl', 'copies'}


def test_unreadable_source_file_is_an_error(ingest, forty):
    with pytest.raises(DataError, match=r'^pets\.parquet is cut off$'):
        ingest(MemorySource(forty, error=DataError('pets.parquet is cut off')))


def test_incomplete_records_have_no_manifest(ingest, forty, tmp_path):
    with pytest.raises(DataError):
        ingest(MemorySource(forty, error=DataError('gone')))

    assert not list(tmp_path.rglob('manifest.json'))


def test_manifest_has_counts_and_classes(ingest, forty):
    written = ingest([*forty, BAD])

    manifest = json.loads((written.records / 'manifest.json').read_text())
    assert manifest['tally']['bad'] == {'unreadable': 1}
    assert manifest['counts'] == written.ingested.counts
    assert manifest['source']['classes'] == list(CLASSES)
