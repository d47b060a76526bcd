import dataclasses
import json
import os
import shutil

import pytest
from image_bytes import encoded
from made_images import CLASSES, MemorySource, labelled, picture, value

from common import features
from common.errors import DataError
from components.image_example_gen.ingestion import transforms
from components.image_example_gen.ingestion.quarantine import read_quarantined
from components.image_example_gen.ingestion.records import split_of
from components.image_example_gen.sources.base.data_config import SplitConfig
from components.image_example_gen.sources.base.source_protocol import BadImage

BAD = BadImage('dogs/gone.jpg', 'unreadable', 'it cannot be read: Permission denied')


@pytest.fixture(scope='module')
def near(forty):
    """A near-duplicate of each image in `forty`."""
    return [
        labelled(encoded(picture(seed=n), quality=30), f'{CLASSES[n % 2]}/near-{n}.jpg', n % 2)
        for n in range(40)
    ]


@pytest.fixture(scope='module')
def first(ingest, forty):
    """A span of good images, in three shards."""
    return ingest(MemorySource(forty, per_shard=15))


@pytest.fixture(scope='module')
def mixed_images(forty):
    """Good images, bad ones, a duplicate, and an image under two labels."""
    return [
        *forty,
        labelled(forty[3].contents[:300], 'dogs/cut.jpg', 1),
        labelled(b'', 'cats/empty.jpg'),
        labelled(b'oh', '../../cats/../.. /etc/p@sswd\n.jpg'),
        forty[0]._replace(label=1, filename='dogs/same.jpg'),
        forty[1]._replace(filename='dogs/again.jpg'),
    ]


@pytest.fixture(scope='module')
def mixed(ingest, mixed_images):
    return ingest(MemorySource(mixed_images, per_shard=50))


@pytest.fixture(scope='module')
def quarantined(mixed):
    """The lines of the quarantine by source."""
    return {line['source']: line for line in read_quarantined(mixed.quarantine)}


def test_writes_every_image_once(first, forty):
    contents = [value(example, features.IMAGE_BYTES) for example in first.examples()]

    assert sorted(contents) == sorted(image.contents for image in forty)
    assert (first.ingested.tally.seen, first.ingested.tally.bad) == (40, {})
    assert len(list(first.records.glob('Split-*/data_tfrecord-0000?-of-00003'))) == 9


def test_splits_follow_digests_and_match_counts(first):
    for split in features.SPLITS:
        examples = first.examples(split)
        digests = [value(each, features.SHA256).decode() for each in examples]
        assert {split_of(digest, SplitConfig()) for digest in digests} == {split}
        found = [value(each, features.CLASS_NAME).decode() for each in examples]
        assert {name: found.count(name) for name in CLASSES} == first.ingested.counts[split]


def test_order_of_a_source_changes_no_split(ingest, forty, near):
    def splits(images):
        written = ingest(MemorySource(images, per_shard=30))
        return {
            value(example, features.SHA256): split
            for split in features.SPLITS
            for example in written.examples(split)
        }

    images = [*forty, *near]
    found = splits(images)
    assert len(found) == 80
    assert splits(sorted(images, key=lambda image: -image.label)) == found


def test_train_and_validation_of_the_source_are_kept(ingest, forty):
    images = [
        image._replace(part='train' if n < 10 else 'eval_and_test') for n, image in enumerate(forty)
    ]

    splits = ingest(images, splits={'test_share_of_validation': 0.5}).split_of()

    trained = {name for name, split in splits.items() if split == 'train'}
    assert trained == {image.filename for image in forty[:10]}
    assert len(splits) == 40


def test_test_images_of_the_source_are_the_test_split(ingest, forty):
    images = [
        image._replace(part='test' if n < 10 else 'train_and_eval') for n, image in enumerate(forty)
    ]
    saved_again = labelled(encoded(picture(seed=0), 'PNG'), 'cats/again.png', 0)
    copies = [forty[1]._replace(filename='dogs/copy.jpg', part='train_and_eval'), saved_again]

    written = ingest([*copies, *images])

    splits = written.split_of()
    tested = {name for name, split in splits.items() if split == 'test'}
    assert tested == {image.filename for image in forty[:10]}
    assert splits.keys() == {image.filename for image in forty}
    assert set(splits.values()) == {'train', 'eval', 'test'}
    assert (written.ingested.tally.duplicates, written.ingested.tally.between) == (1, 1)


def test_bad_images_are_listed_and_copied(mixed, quarantined):
    cut, empty = quarantined['dogs/cut.jpg'], quarantined['cats/empty.jpg']

    assert (cut['reason'], cut['bytes']) == ('truncated', 300)
    assert len((mixed.quarantine / cut['copy']).read_bytes()) == 300
    assert (empty['reason'], empty['copy']) == ('empty', None)
    (copy,) = (line['copy'] for line in quarantined.values() if line['reason'] == 'not an image')
    assert (mixed.quarantine / copy).parent == mixed.quarantine / 'copies'
    assert copy.endswith('-p_sswd_.jpg')


def test_image_under_two_labels_is_quarantined(mixed, quarantined, forty):
    one, other = quarantined['cats/0.jpg'], quarantined['dogs/same.jpg']

    assert one['reason'] == other['reason'] == 'under two labels'
    assert 'also labelled cats' in other['detail']
    assert (mixed.quarantine / one['copy']).read_bytes() == forty[0].contents
    assert not mixed.split_of().keys() & quarantined.keys()


def test_manifest_counts_every_image(mixed):
    manifest = json.loads((mixed.records / 'manifest.json').read_text())

    tally = manifest['tally']
    bad = {'truncated': 1, 'empty': 1, 'not an image': 1, 'under two labels': 2}
    assert (tally['bad'], tally['duplicates'], tally['seen']) == (bad, 1, 45)
    assert mixed.ingested.tally.used == len(mixed.examples()) == 39
    assert manifest['source']['classes'] == list(CLASSES)


def test_temporary_files_are_removed(mixed):
    records = {'Split-train', 'Split-eval', 'Split-test', 'index.npy', 'manifest.json'}
    assert {each.name for each in mixed.records.iterdir()} == records
    assert {each.name for each in mixed.quarantine.iterdir()} == {'quarantined.jsonl', 'copies'}


def test_quarantine_limits_copies_but_not_the_list(ingest, forty):
    cut = [labelled(each.contents[:400], f'cats/{n}.jpg') for n, each in enumerate(forty[:10])]

    source = MemorySource(cut, per_shard=2)
    written = ingest(source, checks={'quarantine_megabytes': 0.001})

    lines = list(read_quarantined(written.quarantine))
    assert [line['source'] for line in lines] == [image.filename for image in cut]
    assert sum(line['copy'] is not None for line in lines) == 2
    assert len(list(written.quarantine.glob('copies/*'))) == 2


def test_near_duplicates_share_a_split_also_if_beam_retries(ingest, forty, near, monkeypatch):
    move = transforms.move_records

    def twice(*args):
        move(*args)
        return move(*args)

    monkeypatch.setattr(transforms, 'move_records', twice)
    written = ingest([*forty[:20], *near[:20]])

    splits = written.split_of()
    assert len(splits) == 40
    assert all(splits[forty[n].filename] == splits[near[n].filename] for n in range(20))
    assert written.ingested.tally.moved > 0


def test_images_follow_near_duplicates_in_earlier_spans(ingest, first, forty, near):
    second = ingest([*near[:20], *forty[20:30]], window=[first])

    before, after = first.split_of(), second.split_of()
    assert all(after[near[n].filename] == before[forty[n].filename] for n in range(20))
    assert len(after) == 30
    assert second.ingested.tally.repeated == 10


@pytest.mark.parametrize('hard_links', [True, False])
def test_unchanged_span_is_linked(link, mixed_images, mixed, monkeypatch, hard_links):
    def fail(*_):
        raise OSError('no hard links')

    if not hard_links:
        monkeypatch.setattr(os, 'link', fail)
    linked = link(mixed_images, [mixed])

    assert linked.ingested == mixed.ingested
    for file in mixed.records.rglob('data_tfrecord-*'):
        copy = linked.records / file.relative_to(mixed.records)
        assert copy.read_bytes() == file.read_bytes()
        assert copy.samefile(file) == hard_links
    assert list(read_quarantined(linked.quarantine)) == list(read_quarantined(mixed.quarantine))


@pytest.mark.parametrize('data', [{'splits': {'train': 1}}, {'checks': {'min_side': 17}}])
def test_changed_settings_or_images_write_span_again(link, forty, first, data):
    assert link(forty, [first], **data) is None
    assert link([forty[0]._replace(contents=b'new'), *forty[1:]], [first]) is None


@pytest.mark.parametrize(
    ('name', 'size'),
    [
        ('records/Split-eval/data_tfrecord-00000-of-00003', None),
        ('records/index.npy', None),
        ('records/index.npy', 200),
        ('records/manifest.json', None),
        ('records/manifest.json', 20),
        ('quarantine/quarantined.jsonl', None),
    ],
)
def test_incomplete_span_is_written_again(link, forty, first, tmp_path, name, size):
    folder = tmp_path / 'earlier'
    shutil.copytree(first.records.parent, folder)
    earlier = dataclasses.replace(
        first, records=folder / 'records', quarantine=folder / 'quarantine'
    )
    if size is None:
        (folder / name).unlink()
    else:
        os.truncate(folder / name, size)

    assert link(forty, [earlier]) is None


def test_spans_not_compared_with_each_other_are_not_linked(ingest, link, forty):
    one, other = ingest(forty[:20]), ingest(forty[20:])
    after = ingest(forty[20:], window=[one])

    assert link(forty[20:], [other], window=[one]) is None
    assert link(forty[20:], [other, after], window=[one]).ingested == after.ingested


def test_span_with_conflicts_is_linked_only_with_the_conflicting_span(ingest, link, forty):
    other = ingest([forty[0]._replace(label=1), *forty[20:]])
    after = ingest(forty[:20], window=[other])
    assert after.ingested.tally.bad == {'under two labels': 1}

    assert link(forty[:20], [after]) is None
    assert link(forty[:20], [after], window=[other]).ingested == after.ingested


def test_span_with_unreadable_images_is_not_linked(ingest, link, forty):
    earlier = ingest([*forty[:10], BAD])
    assert earlier.ingested.tally.bad == {'unreadable': 1}

    assert link([*forty[:10], BAD], [earlier]) is None


def test_unreadable_source_file_is_an_error_without_manifest(ingest, forty, tmp_path_factory):
    with pytest.raises(DataError, match=r'^pets\.parquet is cut off$'):
        ingest(MemorySource(forty[:9], error=DataError('pets.parquet is cut off')))

    latest = max(tmp_path_factory.getbasetemp().glob('span*'), key=os.path.getmtime)
    assert not list(latest.rglob('manifest.json'))
