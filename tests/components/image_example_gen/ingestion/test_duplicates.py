import tracemalloc

import numpy as np
import pytest

from components.image_example_gen.ingestion.duplicates import (
    DUPLICATE,
    IMAGE,
    LABEL_CONFLICT,
    SAME_PICTURE,
    SPLIT_CONFLICT,
    TRAIN,
    SplitAssignment,
    has_near,
    near_pairs,
)

EVAL, TEST, NEAR = 1, 2, 40
NONE = np.empty(0, IMAGE)
PICTURES = np.random.default_rng(7).integers(0, 256, (300, 32), dtype=np.uint8)


def image(number, changed_bits=0, digest=None, label=0, split=TEST, fixed=False, group=0):
    """The index entry of a picture, with the first bits of its perceptual hash flipped."""
    bits = np.unpackbits(PICTURES[number])
    bits[:changed_bits] ^= 1
    version = digest if digest is not None else number * 1000 + changed_bits
    sha256 = np.frombuffer(version.to_bytes(32, 'big'), np.uint8)
    return np.array([(sha256, np.packbits(bits), label, split, fixed, group)], IMAGE)


def assign(*new, earlier=(), near=NEAR):
    return SplitAssignment(np.concatenate(new), np.concatenate([NONE, *earlier]), near)


def splits_of(*new, earlier=(), near=NEAR):
    return assign(*new, earlier=earlier, near=near).splits.tolist()


def test_different_images_keep_their_splits():
    assert splits_of(image(1, split=0), image(2, split=1), image(3, split=2)) == [0, 1, 2]
    assert splits_of(image(1, split=TRAIN), image(1, NEAR + 20, split=TEST)) == [TRAIN, TEST]


def test_first_of_duplicates_is_used():
    assert splits_of(image(1), image(2), image(1), image(1)) == [TEST, TEST, DUPLICATE, DUPLICATE]


@pytest.mark.parametrize(
    ('bits', 'expected'), [(SAME_PICTURE, [LABEL_CONFLICT] * 2), (SAME_PICTURE + 2, [TEST] * 2)]
)
def test_resaved_picture_under_another_label_is_excluded(bits, expected):
    assert splits_of(image(1), image(1, bits, label=1)) == expected


@pytest.mark.parametrize('bits', [2, 15, NEAR])
def test_near_duplicates_follow_lowest_digest(bits):
    apart = image(1, digest=5, split=TEST), image(1, bits, digest=3, split=EVAL)

    assert splits_of(*apart) == [EVAL, EVAL]
    assert splits_of(*reversed(apart)) == [EVAL, EVAL]


def test_near_duplicates_are_transitive():
    chain = [image(1, bits, digest=9 - bits // 30, split=bits // 30) for bits in (0, 30, 60)]

    assert splits_of(*chain) == [TEST, TEST, TEST]


def test_duplicates_of_fixed_train_images_are_in_train():
    train = image(1, digest=5, split=TRAIN, fixed=True)

    assert splits_of(train, image(1, 4, digest=1, split=TEST)) == [TRAIN, TRAIN]
    assert splits_of(image(1, digest=5, split=EVAL), train) == [TRAIN, DUPLICATE]


def own_test(number, *args, **keys):
    return image(number, *args, split=TEST, fixed=True, **keys)


def test_own_test_split_keeps_its_images_and_gets_no_others():
    near_train, near_eval = image(1, 4, split=TRAIN), image(2, 4, split=EVAL, fixed=True)

    assert splits_of(near_train, own_test(1)) == [SPLIT_CONFLICT, TEST]
    assert splits_of(own_test(2, digest=9), near_eval) == [TEST, SPLIT_CONFLICT]
    assert splits_of(image(1, split=TRAIN), image(1, split=EVAL), own_test(1), near=0) == [
        DUPLICATE,
        DUPLICATE,
        TEST,
    ]
    assert splits_of(image(3, split=EVAL), image(3, 4, split=TRAIN), own_test(1)) == [
        EVAL,
        EVAL,
        TEST,
    ]
    assert splits_of(image(4, group=7, split=TRAIN), own_test(5, group=7), near=0) == [
        SPLIT_CONFLICT,
        TEST,
    ]


@pytest.mark.parametrize('near', [0, NEAR])
def test_own_test_images_of_earlier_train_split_are_not_used(near):
    found = assign(own_test(1), own_test(2), earlier=[image(1, split=TRAIN)], near=near)

    assert found.splits.tolist() == [SPLIT_CONFLICT, TEST]
    assert found.conflicting.tolist() == [True]


def test_train_images_do_not_join_an_earlier_test_split_next_to_an_own_one():
    earlier = image(1, split=TEST)

    assert splits_of(image(1, 4, split=TRAIN), own_test(2), earlier=[earlier]) == [
        SPLIT_CONFLICT,
        TEST,
    ]
    assert splits_of(own_test(1, 4), own_test(2), earlier=[earlier]) == [TEST, TEST]


def test_eval_image_of_the_source_that_is_also_in_train_moves_there():
    eval_image = image(1, split=EVAL, fixed=True)

    assert splits_of(image(1, 4, split=TRAIN, fixed=True), eval_image) == [TRAIN, TRAIN]
    assert splits_of(eval_image, image(1, split=TRAIN, fixed=True)) == [TRAIN, DUPLICATE]
    assert splits_of(eval_image, image(1, 4, digest=1, split=EVAL, fixed=True)) == [EVAL, EVAL]


def test_near_duplicates_follow_earlier_spans():
    new = image(1, split=TEST), image(1, 6, split=0, fixed=True)

    assert splits_of(*new, earlier=[image(1, split=EVAL)]) == [EVAL, EVAL]


def test_conflicts_with_earlier_spans_exclude_new_images():
    earlier = image(3), image(1, label=1), image(2, split=TRAIN), image(2, 70)

    found = assign(image(1), image(2, 35), image(3), image(1, 5), earlier=earlier)

    assert found.splits.tolist() == [LABEL_CONFLICT, SPLIT_CONFLICT, TEST, LABEL_CONFLICT]
    assert found.conflicting.tolist() == [False, True, True, True]
    assert found.repeated == 1


def test_label_conflicts_have_the_other_label():
    found = assign(image(1), image(2), image(1, label=4), image(2, 3, label=1))

    assert found.splits.tolist() == [LABEL_CONFLICT] * 4
    assert found.other_labels.tolist() == [4, 1, 0, 0]


def test_images_without_structure_are_not_near_duplicates():
    plain = [image(0, split=split, digest=split + 1, label=split) for split in (0, 1, 2)]
    for each in plain:
        each['perceptual'] = 0

    assert splits_of(*plain) == [0, 1, 2]


def test_distance_of_zero_compares_bytes_only():
    new = image(1), image(1, 2, label=1), image(1, 4, split=TRAIN), image(1), image(2), image(2)

    assert splits_of(*new, near=0) == [TEST, TEST, TRAIN, DUPLICATE, TEST, DUPLICATE]


def test_groups_share_the_split_of_their_lowest_digest():
    apart = [image(n, split=n % 3, group=7, digest=9 - n) for n in range(4)]

    assert splits_of(*apart, image(5, split=EVAL), near=0) == [TRAIN] * 4 + [EVAL]


def test_near_duplicates_and_same_bytes_join_groups():
    one, other = image(1, split=TRAIN, group=7), image(2, split=EVAL, group=8)
    near, same = image(2, 20, digest=1, split=TEST), image(2, split=EVAL)
    near['group'] = same['group'] = 7

    assert splits_of(one, other, near) == [TEST, TEST, TEST]
    assert splits_of(one, other, image(1, split=TEST, group=8), near=0) == [TRAIN, TRAIN, DUPLICATE]
    assert splits_of(one, other, same, near=0) == [TRAIN, TRAIN, DUPLICATE]


def test_group_follows_earlier_spans_and_fixed_images():
    earlier = image(1, split=EVAL, group=7)

    assert splits_of(image(2, group=7), image(3), earlier=[earlier], near=0) == [EVAL, TEST]
    train = image(3, split=TRAIN, fixed=True, group=7)
    assert splits_of(image(2, group=7), train, near=0) == [TRAIN, TRAIN]


def test_group_in_two_earlier_splits_is_excluded():
    earlier = image(1, split=EVAL, group=7), image(2, split=TRAIN)
    found = assign(image(3, group=7), image(2, 5, group=7), image(4), earlier=earlier)

    assert found.splits.tolist() == [SPLIT_CONFLICT, SPLIT_CONFLICT, TEST]
    assert found.conflicting.tolist() == [True, True]


def test_finds_hashes_near_to_known_ones():
    bits = np.unpackbits(PICTURES[:6], axis=1)
    for number, each in enumerate(bits):
        each[: 15 * number] ^= 1  # 0, 15, 30, 45, ... bits
    hashes = np.concatenate([np.packbits(bits, axis=1), np.zeros((1, 32), np.uint8)])
    known = np.concatenate([PICTURES, np.zeros((1, 32), np.uint8)])

    assert has_near(hashes, known, NEAR).tolist() == [True, True, True, *[False] * 4]
    assert not has_near(hashes, known[:0], NEAR).any()


def test_finds_all_known_hashes_up_to_15_bits_apart():
    """Fifteen of the sixteen bands have a flipped bit; each band is the equal one for some."""
    random = np.random.default_rng(3)
    bits = np.unpackbits(PICTURES, axis=1).reshape(-1, 16, 16)
    for number, each in enumerate(bits):
        flipped = np.delete(np.arange(16), number % 16)
        each[flipped, random.integers(0, 16, 15)] ^= 1
    hashes = np.packbits(bits.reshape(-1, 256), axis=1)

    assert has_near(hashes, PICTURES, 15).all()
    assert not has_near(hashes, PICTURES, 14).any()


@pytest.mark.parametrize(('bits', 'expected'), [(30, True), (60, False)])
def test_ten_thousand_equal_hashes_are_compared_in_bounded_memory(bits, expected):
    known = np.repeat(PICTURES[:1], 10_000, axis=0)
    changed = np.unpackbits(PICTURES[:1], axis=1)
    changed[:, -bits:] ^= 1
    hashes = np.repeat(np.packbits(changed, axis=1), 10_000, axis=0)
    tracemalloc.start()
    found = has_near(hashes, known, NEAR)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (found == expected).all()
    assert peak < 20_000 * 200  # bytes


def test_finds_all_pairs_up_to_15_bits_apart():
    random = np.random.default_rng(3)
    bits = np.unpackbits(PICTURES, axis=1)
    for each in bits:
        each[random.choice(256, 15, replace=False)] ^= 1

    chunks = list(near_pairs(np.concatenate([PICTURES, np.packbits(bits, axis=1)]), NEAR))

    found = {tuple(sorted(pair)) for pairs, _ in chunks for pair in pairs.tolist()}
    assert found == {(n, n + 300) for n in range(300)}
    assert {distance for _, distances in chunks for distance in distances} == {15}


def test_similar_frames_of_a_film_are_in_one_split():
    random = np.random.default_rng(2)
    frames = np.repeat(image(0), 600)
    frames['split'] = np.arange(600) % 3
    frames['sha256'] = random.integers(0, 256, (600, 32))
    bits = np.unpackbits(frames['perceptual'], axis=1)
    for each in bits:
        each[random.choice(256, 3, replace=False)] ^= 1
    frames['perceptual'] = np.packbits(bits, axis=1)

    assert len(set(splits_of(frames))) == 1
