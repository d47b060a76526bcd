"""Groups of images stay in one split, within a span and across spans."""

import pytest
from image_bytes import encoded
from made_images import CLASSES, labelled, picture

from common.errors import DataError

BY_NAME = {'source': 'folder', 'group_by': {'pattern': '^([a-z]+)-'}}
NAMES = 'abcdefghij'  # of groups


def grouped(images, names=NAMES):
    """Gives each image one of the groups in turn, and a file name that begins with it."""
    return [
        image._replace(group=names[n % len(names)], filename=f'{names[n % len(names)]}-{n}.jpg')
        for n, image in enumerate(images)
    ]


def splits_by_group(*spans):
    found = {}
    for span in spans:
        for name, split in span.split_of().items():
            found.setdefault(name[0], set()).add(split)
    return found


def test_groups_stay_in_one_split(ingest, forty):
    written = ingest(grouped(forty), **BY_NAME)

    found = splits_by_group(written)
    assert all(len(splits) == 1 for splits in found.values())
    assert set.union(*found.values()) == {'train', 'eval', 'test'}
    assert written.ingested.tally.ungrouped == 0


def test_split_of_a_group_does_not_depend_on_its_images(ingest, forty):
    one, other = (ingest(grouped(images), **BY_NAME) for images in (forty[:20], forty[20:]))

    assert splits_by_group(one) == splits_by_group(other) == splits_by_group(one, other)


def test_near_duplicates_keep_groups_whole(ingest, forty):
    near = [
        labelled(encoded(picture(seed=n), quality=30), f'k-{n}.jpg', n % 2)._replace(group='k')
        for n in (0, 1, 2)
    ]
    written = ingest([*grouped(forty[:20]), *near], **BY_NAME)

    found = splits_by_group(written)
    assert all(len(splits) == 1 for splits in found.values())
    assert found['k'] == found['a'] == found['b'] == found['c']


def test_group_keeps_the_split_of_an_earlier_span(ingest, forty):
    resaved = labelled(encoded(picture(seed=1), quality=30), 'a-99.jpg', 1)._replace(group='a')
    # The near-duplicate of an image of group b joins both groups in the first span only.
    first = ingest([*grouped(forty[:20]), resaved], **BY_NAME)
    second = ingest(grouped(forty[20:]), window=[first], **BY_NAME)
    alone = splits_by_group(ingest(grouped(forty[20:]), **BY_NAME))

    assert alone['a'] != alone['b']
    assert all(len(splits) == 1 for splits in splits_by_group(first, second).values())
    assert len(second.split_of()) == 20


def test_images_without_group_are_on_their_own_and_counted(ingest, forty):
    written = ingest([*grouped(forty[:10]), *forty[10:]], **BY_NAME)

    own = ingest(forty[10:]).split_of()
    assert {name: written.split_of()[name] for name in own} == own
    assert '30 without a group' in written.ingested.tally.clauses()


def test_no_group_at_all_is_an_error(ingest, forty):
    with pytest.raises(DataError) as raised:
        ingest(forty, **BY_NAME)

    assert str(raised.value) == (
        'data.group_by.pattern: ^([a-z]+)- gives none of 40 images a group, such as '
        f'{CLASSES[0]}/0.jpg; correct it, or remove data.group_by'
    )


def test_changed_groups_are_ingested_again(ingest, link, forty):
    earlier = ingest(grouped(forty), **BY_NAME)

    assert link(grouped(forty), [earlier], **BY_NAME).ingested == earlier.ingested
    assert link(grouped(forty), [earlier], source='folder', group_by={'folder': 1}) is None
