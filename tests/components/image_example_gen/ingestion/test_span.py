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


def test_every_image_of_a_source_is_written_once(ingest, forty):
    written = ingest(forty)

    contents = [value(example, features.IMAGE_BYTES) for example in written.examples()]
    assert sorted(contents) == sorted(image.contents for image in forty)
    assert (written.ingested.tally.seen, written.ingested.tally.bad) == (40, {})


def test_the_counts_are_those_of_the_files(ingest, forty):
    written = ingest(forty)

    for split in features.SPLITS:
        found = [value(each, features.CLASS_NAME).decode() for each in written.examples(split)]
        assert {name: found.count(name) for name in CLASSES} == written.ingested.counts[split]


def test_each_image_is_in_the_split_of_its_digest(ingest, forty):
    written = ingest(forty)

    for split in features.SPLITS:
        digests = [value(each, features.SHA256).decode() for each in written.examples(split)]
        assert {split_of(digest, SplitConfig()) for digest in digests} == {split}


def test_every_shard_has_a_file_in_every_split(ingest, forty):
    written = ingest(MemorySource(forty, per_shard=15))

    names = {file.name for file in written.records.glob('Split-*/*')}
    assert names == {f'data_tfrecord-{n:05d}-of-00003' for n in range(3)}
    assert len(list(written.records.glob('Split-*/*'))) == 9


def test_an_image_keeps_its_split_when_others_are_added(ingest, forty):
    few, many = ingest(forty[:30]).split_of(), ingest(forty).split_of()

    assert few.items() < many.items()


def test_images_that_come_in_parts_stay_in_them(ingest, forty):
    images = [
        image._replace(part='train' if n < 10 else 'validation') for n, image in enumerate(forty)
    ]

    written = ingest(images, splits={'test_of_validation': 0.5})

    trained = {value(example, features.IMAGE_BYTES) for example in written.examples('train')}
    assert trained == {image.contents for image in forty[:10]}
    counts = total(written.ingested.counts)
    assert counts['eval'] + counts['test'] == 30


def test_an_image_in_both_parts_is_trained_on_and_not_tested_on(ingest, forty):
    images = [image._replace(part=part) for image in forty for part in ('validation', 'train')]

    written = ingest(images)

    assert total(written.ingested.counts) == {'train': 40, 'eval': 0, 'test': 0}
    assert written.ingested.tally.duplicates == 40


def test_a_bad_image_is_listed_and_the_rest_is_written(ingest, forty):
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


def test_copies_of_bad_images_have_a_limit_and_their_list_has_none(ingest, forty):
    cut = [labelled(each.contents[:400], f'cats/{n}.jpg') for n, each in enumerate(forty[:10])]

    written = ingest(
        MemorySource([*forty, *cut], per_shard=100),
        checks={'quarantine_megabytes': 0.001},
    )

    lines = list(read_quarantined(written.quarantine))
    assert len(lines) == 10
    assert sum(line['copy'] is not None for line in lines) == 2
    assert len(list(written.quarantine.glob('copies/*'))) == 2


def test_names_of_copies_stay_in_their_folder(ingest, forty):
    bad = labelled(b'oh', '../../cats/../.. /etc/p@sswd\n.jpg')

    written = ingest([*forty, bad])

    (line,) = read_quarantined(written.quarantine)
    copy = written.quarantine / line['copy']
    assert copy.parent == written.quarantine / 'copies'
    assert copy.name.endswith('-p_sswd_.jpg')


def test_copies_are_left_out_and_counted(ingest, forty):
    copies = [image._replace(filename=f'again/{n}.jpg') for n, image in enumerate(forty[:5])]

    written = ingest([*forty, *copies])

    assert names_in(written) == {image.filename for image in forty}
    assert (written.ingested.tally.duplicates, written.ingested.tally.seen) == (5, 45)


def test_the_same_image_under_two_labels_is_set_aside(ingest, forty):
    again = forty[0]._replace(label=1, filename='dogs/same.jpg')

    written = ingest([*forty, again])

    lines = {line['source']: line for line in read_quarantined(written.quarantine)}
    assert set(lines) == {'cats/0.jpg', 'dogs/same.jpg'}
    assert lines['dogs/same.jpg']['reason'] == 'under two labels'
    detail = 'the same image, or a copy of it, stands under cats too'
    assert lines['dogs/same.jpg']['detail'] == detail
    assert (written.quarantine / lines['cats/0.jpg']['copy']).read_bytes() == forty[0].contents
    assert not names_in(written) & set(lines)


def test_near_copies_are_in_one_split(ingest, forty):
    near = [
        labelled(encoded(picture(seed=n), quality=30), f'{CLASSES[n % 2]}/near-{n}.jpg', n % 2)
        for n in range(20)
    ]

    written = ingest(MemorySource([*forty, *near], per_shard=7))

    split_of_name = written.split_of()
    assert len(split_of_name) == 60
    for n in range(20):
        name = CLASSES[n % 2]
        assert split_of_name[f'{name}/{n}.jpg'] == split_of_name[f'{name}/near-{n}.jpg']
    assert written.ingested.tally.moved > 0


def test_a_near_copy_in_a_later_span_follows_the_earlier_one(ingest, forty):
    first = ingest(forty)
    near = [
        labelled(encoded(picture(seed=n), quality=30), f'near-{n}.jpg', n % 2) for n in range(40)
    ]

    second = ingest(near, known=[first.ingested])

    before, after = first.split_of(), second.split_of()
    assert [after[f'near-{n}.jpg'] for n in range(40)] == [
        before[f'{CLASSES[n % 2]}/{n}.jpg'] for n in range(40)
    ]


def test_records_of_the_same_images_are_linked_and_not_written_again(ingest, forty):
    bad = labelled(b'', 'cats/empty.jpg')
    first = ingest([*forty, bad])

    second = ingest([*forty, bad], earlier=[first])

    assert second.ingested == first.ingested
    for file in first.records.rglob('data_tfrecord-*'):
        assert file.samefile(second.records / file.relative_to(first.records))
    assert list(read_quarantined(second.quarantine)) == list(read_quarantined(first.quarantine))


def test_records_that_are_linked_outlive_those_that_they_were_linked_from(ingest, forty):
    first = ingest(forty)
    second = ingest(forty, earlier=[first])

    shutil.rmtree(first.records)

    assert len(second.examples()) == 40


@pytest.mark.parametrize(
    'change',
    [
        'other image',
        'other shares',
        'other limits',
        'file gone',
        'index gone',
        'index cut off',
        'list gone',
        'cut off',
    ],
)
def test_records_of_anything_else_are_written_anew(ingest, forty, change):
    earlier = ingest(forty)
    images, data = forty, {}
    if change == 'other image':
        images = [labelled(encoded(picture(seed=99)), 'cats/0.jpg'), *forty[1:]]
    elif change == 'other shares':
        data = {'splits': {'train': 1}}
    elif change == 'other limits':
        data = {'checks': {'min_side': 17}}
    elif change == 'file gone':
        next(earlier.records.glob('Split-eval/*')).unlink()
    elif change == 'index gone':
        (earlier.records / 'index.npy').unlink()
    elif change == 'index cut off':
        os.truncate(earlier.records / 'index.npy', 200)
    elif change == 'list gone':
        (earlier.quarantine / 'quarantined.jsonl').unlink()
    else:
        (earlier.records / 'manifest.json').unlink()

    written = ingest(images, earlier=[earlier], **data)

    first = next(written.records.glob('Split-train/*'))
    assert not first.samefile(earlier.records / first.relative_to(written.records))
    contents = {value(example, features.IMAGE_BYTES) for example in written.examples()}
    assert contents == {image.contents for image in images}


def test_spans_that_were_not_compared_are_not_linked_together(ingest, forty):
    one, other = ingest(forty[:20]), ingest(forty[20:])
    after = ingest(forty[20:], known=[one.ingested])

    def linked(*earlier):
        written = ingest(forty[20:], known=[one.ingested], earlier=earlier)
        file = next(written.records.glob('Split-train/*'))
        return [
            each
            for each in earlier
            if file.samefile(each.records / file.relative_to(written.records))
        ]

    assert linked(other) == []
    assert linked(other, after) == [after]


def test_a_span_from_which_another_took_images_is_linked_only_beside_it(ingest, forty):
    other = ingest([forty[0]._replace(label=1), *forty[20:]])
    after = ingest(forty[:20], known=[other.ingested])
    assert after.ingested.tally.bad == {'under two labels': 1}

    alone = ingest(forty[:20], earlier=[after])
    again = ingest(forty[:20], known=[other.ingested], earlier=[after])

    assert alone.ingested.tally.bad == {}
    assert again.ingested == after.ingested


def test_a_span_with_unreadable_images_is_looked_at_again(ingest, forty):
    earlier = ingest([*forty, BAD])

    written = ingest([*forty, BAD], earlier=[earlier])

    first = next(written.records.glob('Split-train/*'))
    assert not first.samefile(earlier.records / first.relative_to(written.records))


def test_images_that_are_in_another_span_too_are_counted(ingest, forty):
    first = ingest(forty[:20])

    second = ingest(forty, known=[first.ingested])

    assert second.ingested.tally.repeated == 20
    assert len(second.examples()) == 40


def test_moving_records_twice_is_moving_them_once(ingest, forty, monkeypatch):
    near = [
        labelled(encoded(picture(seed=n), quality=30), f'{CLASSES[n % 2]}/near-{n}.jpg', n % 2)
        for n in range(20)
    ]
    once = ingest([*forty, *near]).split_of()
    move = transforms._move_records

    def twice(*given):
        move(*given)
        return move(*given)

    monkeypatch.setattr(transforms, '_move_records', twice)

    assert ingest([*forty, *near]).split_of() == once


def test_nothing_of_the_first_pass_is_left(ingest, forty):
    written = ingest([*forty, labelled(b'oh', 'cats/a.jpg'), forty[0]._replace(label=1)])

    assert {each.name for each in written.records.iterdir()} == {
        'Split-train',
        'Split-eval',
        'Split-test',
        'index.npy',
        'manifest.json',
    }
    assert {each.name for each in written.quarantine.iterdir()} == {'quarantined.jsonl', 'copies'}


def test_a_file_of_the_source_that_cannot_be_read_stops_with_its_sentence(ingest, forty):
    with pytest.raises(DataError, match=r'^pets\.parquet is cut off$'):
        ingest(MemorySource(forty, error=DataError('pets.parquet is cut off')))


def test_records_that_were_cut_off_have_no_manifest(ingest, forty, tmp_path):
    with pytest.raises(DataError):
        ingest(MemorySource(forty, error=DataError('gone')))

    assert not list(tmp_path.rglob('manifest.json'))


def test_the_manifest_says_what_became_of_the_images(ingest, forty):
    written = ingest([*forty, BAD])

    manifest = json.loads((written.records / 'manifest.json').read_text())
    assert manifest['tally']['bad'] == {'unreadable': 1}
    assert manifest['counts'] == written.ingested.counts
    assert manifest['source']['classes'] == list(CLASSES)
