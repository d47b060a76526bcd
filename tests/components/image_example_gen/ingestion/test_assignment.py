import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from index_entries import EVAL, NEAR, TEST, TRAIN, assign, given, image, splits_of

from components.image_example_gen.ingestion.assignment import (
    DUPLICATE,
    LABEL_CONFLICT,
    SPLIT_CONFLICT,
)
from components.image_example_gen.ingestion.duplicates import SAME_PICTURE


def test_different_images_have_the_splits_of_their_positions():
    assert splits_of(*(image(n, split=n) for n in range(3))) == [TRAIN, EVAL, TEST]
    assert splits_of(image(1, split=TRAIN), image(1, NEAR + 20, split=TEST)) == [TRAIN, TEST]


def test_first_of_duplicates_is_used():
    assert splits_of(image(1), image(2), image(1), image(1)) == [TEST, TEST, DUPLICATE, DUPLICATE]


@pytest.mark.parametrize(
    ('bits', 'expected'), [(SAME_PICTURE, [LABEL_CONFLICT] * 2), (SAME_PICTURE + 2, [TEST] * 2)]
)
def test_resaved_picture_under_another_label_is_excluded(bits, expected):
    assert splits_of(image(1), image(1, bits, label=1)) == expected


def test_label_conflicts_have_the_other_label():
    found = assign(image(1), image(2), image(1, label=4), image(2, 3, label=1))
    assert found.splits.tolist() == [LABEL_CONFLICT] * 4
    assert found.other_labels.tolist() == [4, 1, 0, 0]


@pytest.mark.parametrize('bits', [2, 15, NEAR])
def test_near_duplicates_have_the_split_of_the_lowest_digest(bits):
    apart = image(1, digest=5, split=TEST), image(1, bits, digest=3, split=EVAL)
    assert splits_of(*apart) == [EVAL, EVAL]
    assert splits_of(*reversed(apart)) == [EVAL, EVAL]


def test_near_duplicates_are_transitive():
    chain = [image(1, bits, digest=9 - bits // 30, split=bits // 30) for bits in (0, 30, 60)]
    assert splits_of(*chain) == [TEST, TEST, TEST]


def test_images_without_structure_are_not_near_duplicates():
    plain = [image(0, split=split, digest=split + 1, label=split) for split in (0, 1, 2)]
    for each in plain:
        each['perceptual'] = 0
    assert splits_of(*plain) == splits_of(*plain, near=0)


def test_distance_of_zero_compares_bytes_only():
    new = image(1), image(1, 2, label=1), image(1, 4, split=TRAIN), image(1), image(2), image(2)
    found = splits_of(*new, near=0)
    assert found == [TEST, found[1], TRAIN, DUPLICATE, TEST, DUPLICATE]


class TestOwnParts:
    def test_duplicates_of_train_images_are_in_train(self):
        train = image(1, digest=5, part='train', split=TRAIN)
        assert splits_of(train, image(1, 4, digest=1, split=TEST)) == [TRAIN, TRAIN]
        assert splits_of(image(1, digest=5, part='eval'), train) == [TRAIN, DUPLICATE]

    def test_test_split_keeps_its_images_and_gets_no_others(self):
        near_train, near_eval = image(1, 4, split=TRAIN), image(2, 4, part='eval')
        own = image(1, part='test')
        assert splits_of(near_train, own) == [SPLIT_CONFLICT, TEST]
        assert splits_of(image(2, digest=9, part='test'), near_eval) == [TEST, SPLIT_CONFLICT]
        same = image(1, split=TRAIN), image(1, split=EVAL), own
        assert splits_of(*same, near=0) == [DUPLICATE, DUPLICATE, TEST]
        grouped = image(4, group=7, split=TRAIN), image(5, group=7, part='test')
        assert splits_of(*grouped, near=0) == [SPLIT_CONFLICT, TEST]

    @pytest.mark.parametrize('near', [0, NEAR])
    def test_test_images_of_an_earlier_train_split_are_not_used(self, near):
        new = image(1, part='test'), image(2, part='test')
        spans = [image(1, split=TRAIN)]
        assert splits_of(*new, spans=spans, near=near) == [SPLIT_CONFLICT, TEST]

    def test_train_images_do_not_join_a_test_split_next_to_an_own_one(self):
        own, earlier = image(2, part='test'), image(1, split=TEST)
        joining = image(1, 4, part='train_and_eval')
        assert splits_of(joining, own, spans=[earlier]) == [SPLIT_CONFLICT, TEST]
        assert splits_of(image(1, 4, part='test'), own, spans=[earlier]) == [TEST, TEST]

    def test_eval_image_that_is_also_in_train_moves_there(self):
        own = image(1, part='eval')
        assert splits_of(image(1, 4, part='train'), own) == [TRAIN, TRAIN]
        assert splits_of(own, image(1, 4, digest=1, part='eval')) == [EVAL, EVAL]

    def test_a_new_division_counts_more_than_the_earlier_ingestion(self):
        new = image(1, part='test'), image(2, part='train'), image(3, part='train_and_eval')
        earlier = image(1, split=TRAIN), image(2, split=TEST), image(3, split=TEST)
        found = splits_of(*new, earlier=earlier)
        assert found[:2] == [TEST, TRAIN]
        assert found[2] in (TRAIN, EVAL)


class TestOtherSpans:
    def test_near_duplicates_follow_them(self):
        new = image(1, split=TEST), image(1, 6, part='train')
        assert splits_of(*new, spans=[image(1, split=EVAL)]) == [EVAL, EVAL]

    def test_conflicts_exclude_new_images(self):
        spans = image(3), image(1, label=1), image(2, split=TRAIN), image(2, 70)
        found = assign(image(1), image(2, 35), image(3), image(1, 5), spans=spans)
        expected = [LABEL_CONFLICT, SPLIT_CONFLICT, TEST, LABEL_CONFLICT]
        assert found.splits.tolist() == expected
        assert found.repeated == 1


class TestEarlierIngestion:
    def test_known_images_keep_their_splits(self):
        earlier = [image(n, split=(n + 1) % 3) for n in range(3)]
        assert splits_of(*(image(n, split=n) for n in range(3)), earlier=earlier) == [1, 2, 0]

    def test_new_near_duplicate_follows_a_known_image_also_if_that_was_removed(self):
        new, known = image(1, 4, digest=1, split=TRAIN), image(1, digest=9, split=TEST)
        assert splits_of(new, known, earlier=[known]) == [TEST, TEST]
        assert splits_of(new, earlier=[known]) == [TEST]

    def test_new_near_duplicate_of_two_splits_is_not_used(self):
        known = image(1, split=TRAIN), image(1, 70, split=TEST)
        assert splits_of(image(1, 35), *known, earlier=known) == [SPLIT_CONFLICT, TRAIN, TEST]

    def test_a_corrected_label_is_no_conflict(self):
        known = image(1, label=1, split=TEST)
        assert splits_of(image(1, split=TRAIN), earlier=[known]) == [TEST]
        assert splits_of(image(1, 4, split=TRAIN), earlier=[known]) == [TEST]


class TestGroups:
    def test_share_a_split(self):
        apart = [image(n, split=n % 3, group=7, digest=9 - n) for n in range(4)]
        assert splits_of(*apart, image(5, split=EVAL), near=0) == [TRAIN] * 4 + [EVAL]

    def test_are_joined_by_near_duplicates_and_the_same_bytes(self):
        one, other = image(1, split=TRAIN, group=7), image(2, split=EVAL, group=8)
        near, same = image(2, 20, digest=1, split=TEST, group=7), image(2, split=EVAL, group=7)
        again = image(1, split=TEST, group=8)
        assert splits_of(one, other, near) == [TEST, TEST, TEST]
        assert splits_of(one, other, again, near=0) == [TRAIN, TRAIN, DUPLICATE]
        assert splits_of(one, other, same, near=0) == [TRAIN, TRAIN, DUPLICATE]

    def test_follow_given_splits(self):
        known, new = image(1, split=EVAL, group=7), image(2, group=7)
        assert splits_of(new, image(3), spans=[known], near=0) == [EVAL, TEST]
        assert splits_of(new, image(3), earlier=[known], near=0) == [EVAL, TEST]
        assert splits_of(new, image(3, part='train', group=7), near=0) == [TRAIN, TRAIN]

    def test_in_two_given_splits_are_not_used(self):
        spans = image(1, split=EVAL, group=7), image(2, split=TRAIN)
        new = image(3, group=7), image(2, 5, group=7), image(4)
        assert splits_of(*new, spans=spans) == [SPLIT_CONFLICT, SPLIT_CONFLICT, TEST]

    def test_count_for_the_class_of_most_images(self):
        group = [image(n, label=n > 0, group=7, split=TRAIN) for n in range(3)]
        singles = [image(n, label=1, split=TRAIN) for n in (4, 5)]
        found = splits_of(*group, *singles, others=given([]))
        assert len({*found}) == 3
        assert len({*found[:3]}) == 1


class Growth(RuleBasedStateMachine):
    """Images, near-duplicates and groups that are added and removed between ingestions.

    The images of a number are near-duplicates; groups are of ten numbers or of one.
    """

    def __init__(self):
        super().__init__()
        self.images, self.splits, self.index = {}, {}, given([])

    @rule(
        numbers=st.lists(st.integers(0, 59), min_size=1, max_size=8),
        bits=st.sampled_from([0, 0, 8, 20]),
    )
    def add(self, numbers, bits):
        for number in numbers:
            group = number // 10 if number < 30 else 0
            entry = image(number, bits, label=number % 2, group=group)
            entry['position'] = number * 0.618 % 1
            self.images[number, bits] = entry
        self.ingest()

    @rule(data=st.data())
    def remove(self, data):
        if len(self.images) > 1:
            del self.images[data.draw(st.sampled_from(sorted(self.images)))]
            self.ingest()

    def ingest(self):
        names, entries = zip(*sorted(self.images.items()), strict=True)
        found = assign(*entries, earlier=[self.index], others=given([])).splits
        splits = dict(zip(names, found.tolist(), strict=True))
        known = {name for name, split in self.splits.items() if split < DUPLICATE}
        assert all(splits[name] == self.splits[name] for name in known & splits.keys())
        self.splits, used = splits, found < DUPLICATE
        self.index = given(entries)[used]
        self.index['split'] = found[used]

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
