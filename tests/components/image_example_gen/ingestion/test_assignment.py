import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from index_entries import EVAL, NEAR, NONE, TEST, TRAIN, assign, image, splits_of

from components.image_example_gen.ingestion.assignment import (
    DUPLICATE,
    LABEL_CONFLICT,
    SPLIT_CONFLICT,
)
from components.image_example_gen.ingestion.duplicates import SAME_PICTURE

RESAVED, OTHER_PICTURE = SAME_PICTURE, SAME_PICTURE + 2


@pytest.mark.parametrize(
    ('new', 'expected'),
    [
        ([image(0, at=TRAIN), image(1, at=EVAL), image(2, at=TEST)], [TRAIN, EVAL, TEST]),
        ([image(1, at=TRAIN), image(1, NEAR + 20, at=TEST)], [TRAIN, TEST]),
        # of the same bytes and label the first is used
        ([image(1), image(2), image(1), image(1)], [TEST, TEST, DUPLICATE, DUPLICATE]),
        ([image(1), image(1, RESAVED, label=1)], [LABEL_CONFLICT] * 2),
        ([image(1), image(1, OTHER_PICTURE, label=1)], [TEST] * 2),
        # near-duplicates are in one split, whatever their order, also those of near-duplicates
        ([image(1, digest=5), image(1, 2, digest=3, at=EVAL)], [EVAL, EVAL]),
        ([image(1, 15, digest=3, at=EVAL), image(1, digest=5)], [EVAL, EVAL]),
        ([image(1, 30, digest=3, at=EVAL), image(1, digest=5), image(1, 60)], [EVAL] * 3),
        # a group is at the position of its name
        ([*(image(n, at=n, group=7) for n in range(3)), image(5, at=EVAL)], [TRAIN] * 3 + [EVAL]),
        ([image(1, group=7), image(2, group=8), image(2, 20, group=7)], [TRAIN] * 3),
    ],
)
def test_new_images(new, expected):
    assert splits_of(*new) == expected


def test_label_conflicts_have_the_other_label():
    found = assign(image(1), image(2), image(1, label=4), image(2, 3, label=1))
    assert found.splits.tolist() == [LABEL_CONFLICT] * 4
    assert found.other_labels.tolist() == [4, 1, 0, 0]


def test_images_without_structure_are_not_near_duplicates():
    plain = [image(0, at=split, digest=split + 1, label=split) for split in (0, 1, 2)]
    for each in plain:
        each['perceptual'] = 0
    assert splits_of(*plain) == splits_of(*plain, near=0)


def test_distance_of_zero_compares_bytes_only():
    new = image(1), image(1, 2, label=1), image(1, 4, TRAIN), image(1), image(2), image(2)
    found = splits_of(*new, near=0)
    assert found == [TEST, found[1], TRAIN, DUPLICATE, TEST, DUPLICATE]


OWN_TEST, EARLIER = image(1, part='test'), image(1, split=TEST)


@pytest.mark.parametrize(
    ('new', 'known', 'expected'),
    [
        # duplicates of train images are in train
        ([image(1, part='train'), image(1, 4)], {}, [TRAIN, TRAIN]),
        ([image(1, part='eval'), image(1, part='train')], {}, [TRAIN, DUPLICATE]),
        ([image(1, 4, part='train'), image(1, part='eval')], {}, [TRAIN, TRAIN]),
        ([image(1, part='eval'), image(1, 4, part='eval')], {}, [EVAL, EVAL]),
        # a test split of the source keeps its images and gets no others
        ([image(1, 4, TRAIN), OWN_TEST], {}, [SPLIT_CONFLICT, TEST]),
        ([OWN_TEST, image(1, 4, part='eval')], {}, [TEST, SPLIT_CONFLICT]),
        ([image(1), image(1), OWN_TEST], {'near': 0}, [DUPLICATE, DUPLICATE, TEST]),
        ([image(4, group=7), image(5, group=7, part='test')], {}, [SPLIT_CONFLICT, TEST]),
        ([OWN_TEST, image(2, part='test')], {'spans': [image(1, split=TRAIN)]},
         [SPLIT_CONFLICT, TEST]),
        ([OWN_TEST], {'spans': [image(1, split=TRAIN)], 'near': 0}, [SPLIT_CONFLICT]),
        ([image(1, 4, part='train_and_eval'), image(2, part='test')], {'spans': [EARLIER]},
         [SPLIT_CONFLICT, TEST]),
        ([image(1, 4, part='test'), image(2, part='test')], {'spans': [EARLIER]}, [TEST, TEST]),
        # a new division counts more than the earlier ingestion
        ([OWN_TEST, image(2, part='train')],
         {'earlier': [image(1, split=TRAIN), image(2, split=TEST)]}, [TEST, TRAIN]),
        ([image(3, at=TRAIN, part='train_and_eval')], {'earlier': [image(3, split=TEST)]},
         [TRAIN]),
    ],
)  # fmt: skip
def test_parts_of_the_source(new, known, expected):
    assert splits_of(*new, **known) == expected


@pytest.mark.parametrize(
    ('new', 'known', 'expected'),
    [
        ([image(1, 4), image(1, 6, part='train')], {'spans': [image(1, split=EVAL)]}, [EVAL, EVAL]),
        # those of the earlier ingestion keep their splits
        ([image(n) for n in range(3)],
         {'earlier': [image(n, split=n) for n in range(3)]}, [TRAIN, EVAL, TEST]),
        # a new near-duplicate follows a known image, also if that was removed
        ([image(1, 4, digest=1), image(1)], {'earlier': [image(1, split=EVAL)]}, [EVAL, EVAL]),
        ([image(1, 4)], {'earlier': [image(1, split=EVAL)]}, [EVAL]),
        # of images in two splits it is not used
        ([image(1, 35), image(1), image(1, 70)],
         {'earlier': [image(1, split=TRAIN), image(1, 70, split=TEST)]},
         [SPLIT_CONFLICT, TRAIN, TEST]),
        # a corrected label is no conflict
        ([image(1)], {'earlier': [image(1, label=1, split=EVAL)]}, [EVAL]),
        ([image(1, 4)], {'earlier': [image(1, label=1, split=EVAL)]}, [EVAL]),
        # groups
        ([image(2, group=7), image(3)], {'spans': [image(1, split=EVAL, group=7)]}, [EVAL, TEST]),
        ([image(2, group=7), image(3)], {'earlier': [image(1, split=EVAL, group=7)]}, [EVAL, TEST]),
        ([image(3, group=7), image(2, 5, group=7), image(4)],
         {'spans': [image(1, split=EVAL, group=7), image(2, split=TRAIN)]},
         [SPLIT_CONFLICT, SPLIT_CONFLICT, TEST]),
    ],
)  # fmt: skip
def test_known_images_and_their_near_duplicates(new, known, expected):
    assert splits_of(*new, **known) == expected


def test_conflicts_with_other_spans():
    spans = image(3), image(1, label=1), image(2, split=TRAIN), image(2, 70)
    found = assign(image(1), image(2, 35), image(3), image(1, 5), spans=spans)
    assert found.splits.tolist() == [LABEL_CONFLICT, SPLIT_CONFLICT, TEST, LABEL_CONFLICT]
    assert found.repeated == 1


def test_same_bytes_join_groups():
    one, other = image(1, group=7), image(2, group=2**63)
    assert splits_of(one, other, near=0) == [TRAIN, TRAIN]
    assert splits_of(one, image(2, group=2**64 - 2048), near=0) == [TRAIN, TEST]
    for again in (image(1, group=2**63), image(2, group=7)):
        assert splits_of(one, other, again, near=0) == [TRAIN, TRAIN, DUPLICATE]


def test_groups_count_for_the_class_of_most_images():
    group = [image(n, label=n > 0, group=7) for n in range(3)]
    found = splits_of(*group, *(image(n, label=1) for n in (4, 5)), others=NONE)
    assert len({*found}) == 3
    assert len({*found[:3]}) == 1


class Growth(RuleBasedStateMachine):
    """Images, near-duplicates and groups that are added and removed between ingestions.

    The images of a number are near-duplicates; groups are of ten numbers or of one.
    """

    def __init__(self):
        super().__init__()
        self.images, self.splits, self.index = {}, {}, NONE

    @rule(
        numbers=st.lists(st.integers(0, 59), min_size=1, max_size=8),
        bits=st.sampled_from([0, 0, 8, 20]),
    )
    def add(self, numbers, bits):
        for number in numbers:
            group, at = number // 10 if number < 30 else 0, (number + bits / 99) * 0.618 % 1
            self.images[number, bits] = image(number, bits, at, label=number % 2, group=group)
        self.ingest()

    @rule(data=st.data())
    def remove(self, data):
        if len(self.images) > 1:
            del self.images[data.draw(st.sampled_from(sorted(self.images)))]
            self.ingest()

    def ingest(self):
        names, entries = zip(*sorted(self.images.items()), strict=True)
        found = assign(*entries, earlier=[self.index], others=NONE).splits
        splits = dict(zip(names, found.tolist(), strict=True))
        known = {name for name, split in self.splits.items() if split < DUPLICATE}
        assert all(splits[name] == self.splits[name] for name in known & splits.keys())
        self.splits = splits
        self.index = np.concatenate(entries)[found < DUPLICATE]
        self.index['split'] = found[found < DUPLICATE]

    @invariant()
    def no_test_image_is_like_a_train_image(self):
        related = {}
        for (number, _), split in self.splits.items():
            if split < DUPLICATE:
                unit = number // 10 if 10 <= number < 30 else f'{number}'
                related.setdefault(unit, set()).add(split)
        assert all(len(splits) == 1 for splits in related.values())


TestGrowth = Growth.TestCase
TestGrowth.settings = settings(max_examples=40, stateful_step_count=8, deadline=None)
