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
    near_pairs,
)

EVAL, TEST, NEAR = 1, 2, 40
NONE = np.empty(0, IMAGE)
RANDOM = np.random.default_rng(7)
PICTURES = RANDOM.integers(0, 256, (300, 32), dtype=np.uint8)


def image(number, changed_bits=0, digest=None, label=0, split=TEST, fixed=False):
    """The index entry of a picture, with the first bits of its perceptual hash flipped."""
    bits = np.unpackbits(PICTURES[number])
    bits[:changed_bits] ^= 1
    version = digest if digest is not None else number * 1000 + changed_bits
    sha256 = np.frombuffer(version.to_bytes(32, 'big'), np.uint8)
    return np.array([(sha256, np.packbits(bits), label, split, fixed)], IMAGE)


def images(*each):
    return np.concatenate(each)


def splits_of(*new, earlier=NONE, near=NEAR):
    return SplitAssignment(images(*new), earlier, near).splits.tolist()


def test_different_images_keep_their_splits():
    assert splits_of(image(1, split=0), image(2, split=1), image(3, split=2)) == [0, 1, 2]


def test_first_of_duplicates_is_used():
    assert splits_of(image(1), image(2), image(1), image(1)) == [TEST, TEST, DUPLICATE, DUPLICATE]


def test_same_bytes_under_two_labels_are_excluded():
    found = splits_of(image(1), image(2), image(1, label=1), image(1))

    assert found == [LABEL_CONFLICT, TEST, LABEL_CONFLICT, LABEL_CONFLICT]


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


def test_distant_pictures_keep_their_splits():
    assert splits_of(image(1, split=TRAIN), image(1, NEAR + 20, split=TEST)) == [TRAIN, TEST]


def test_duplicates_of_fixed_train_images_are_in_train():
    train = image(1, digest=5, split=TRAIN, fixed=True)

    assert splits_of(train, image(1, 4, digest=1, split=TEST)) == [TRAIN, TRAIN]
    assert splits_of(image(1, digest=5, split=EVAL), train) == [TRAIN, DUPLICATE]


def test_near_duplicates_follow_earlier_spans():
    earlier = image(1, split=EVAL)

    found = splits_of(image(1, split=TEST), image(1, 6, split=0, fixed=True), earlier=earlier)

    assert found == [EVAL, EVAL]


def test_near_duplicate_of_two_earlier_splits_is_excluded():
    earlier = images(image(1, 0, split=TRAIN), image(1, 70, split=TEST))

    assert splits_of(image(1, 35, split=TRAIN), earlier=earlier) == [SPLIT_CONFLICT]


def test_label_conflict_with_earlier_span_is_excluded():
    earlier = image(1, label=1)

    found = splits_of(image(1), image(2), image(1, 5), earlier=earlier)

    assert found == [LABEL_CONFLICT, TEST, LABEL_CONFLICT]


def test_images_without_structure_are_not_near_duplicates():
    plain = [image(0, split=split, digest=split + 1, label=split) for split in (0, 1, 2)]
    for each in plain:
        each['perceptual'] = 0

    assert splits_of(*plain) == [0, 1, 2]


def test_finds_all_pairs_up_to_15_bits_apart():
    random = np.random.default_rng(3)
    copies = PICTURES.copy()
    for each in copies:
        bits = np.unpackbits(each)
        bits[random.choice(256, 15, replace=False)] ^= 1
        each[:] = np.packbits(bits)

    chunks = list(near_pairs(np.concatenate([PICTURES, copies]), NEAR))

    found = {tuple(sorted(pair)) for pairs, _ in chunks for pair in pairs.tolist()}
    distances = np.concatenate([each for _, each in chunks])
    assert found == {(n, n + 300) for n in range(300)}
    assert set(distances) == {15}


def test_near_duplicates_keep_shares_of_splits():
    random = np.random.default_rng(5)
    burst = []
    for number in range(300):
        own = random.choice(3, 10, p=(0.6, 0.2, 0.2))
        burst += [
            image(number, 2 * n, digest=int(random.integers(2**60)), split=int(s))
            for n, s in enumerate(own)
        ]

    shares = np.bincount(splits_of(*burst), minlength=3) / 3000

    assert shares == pytest.approx((0.6, 0.2, 0.2), abs=0.08)


def test_distance_of_zero_compares_bytes_only():
    new = image(1), image(1, 2, label=1), image(1, 4, split=TRAIN), image(1), image(2), image(2)

    assert splits_of(*new, near=0) == [TEST, TEST, TRAIN, DUPLICATE, TEST, DUPLICATE]


def test_label_conflicts_have_the_other_label():
    found = SplitAssignment(
        images(image(1), image(2), image(1, label=4), image(2, 3, label=1)), NONE, NEAR
    )

    assert found.splits.tolist() == [LABEL_CONFLICT] * 4
    assert found.other_labels.tolist() == [4, 1, 0, 0]


def test_conflicting_images_of_other_spans_are_returned():
    earlier = images(image(3), image(1, label=1), image(2, split=TRAIN), image(2, 70))

    found = SplitAssignment(images(image(1), image(2, 35), image(3)), earlier, NEAR)

    assert found.splits.tolist() == [LABEL_CONFLICT, SPLIT_CONFLICT, TEST]
    assert found.conflicting.tolist() == [False, True, True, True]
    assert found.repeated == 1


def test_similar_frames_of_a_film_are_in_one_split():
    random = np.random.default_rng(2)
    frames = []
    for number in range(600):
        bits = np.unpackbits(PICTURES[0])
        bits[random.choice(256, 3, replace=False)] ^= 1
        sha256 = np.frombuffer(random.bytes(32), np.uint8)
        frames.append((sha256, np.packbits(bits), 0, number % 3, False))

    assert len(set(SplitAssignment(np.array(frames, IMAGE), NONE, NEAR).splits)) == 1
