import numpy as np
import pytest

from components.image_example_gen.ingestion.duplicates import (
    BETWEEN,
    DUPLICATE,
    IMAGE,
    SAME_PICTURE,
    TRAIN,
    TWO_LABELS,
    decide,
    near_pairs,
)

EVAL, TEST, NEAR = 1, 2, 40
NONE = np.empty(0, IMAGE)
RANDOM = np.random.default_rng(7)
PICTURES = RANDOM.integers(0, 256, (300, 32), dtype=np.uint8)


def image(number, changed_bits=0, digest=None, label=0, split=TEST, fixed=False):
    """The image of a picture, in a version of it; equal digests are equal bytes."""
    hash_ = PICTURES[number].copy()
    bits = np.unpackbits(hash_)
    bits[:changed_bits] ^= 1
    version = digest if digest is not None else number * 1000 + changed_bits
    sha256 = np.frombuffer(version.to_bytes(32, 'big'), np.uint8)
    return np.array([(sha256, np.packbits(bits), label, split, fixed)], IMAGE)


def images(*each):
    return np.concatenate(each)


def decided(*new, earlier=NONE, near=NEAR):
    return decide(images(*new), earlier, near).places.tolist()


def test_images_that_are_unlike_keep_their_splits():
    assert decided(image(1, split=0), image(2, split=1), image(3, split=2)) == [0, 1, 2]


def test_of_the_same_bytes_under_one_label_the_first_stays():
    assert decided(image(1), image(2), image(1), image(1)) == [TEST, TEST, DUPLICATE, DUPLICATE]


def test_the_same_bytes_under_two_labels_are_all_left_out():
    found = decided(image(1), image(2), image(1, label=1), image(1))

    assert found == [TWO_LABELS, TEST, TWO_LABELS, TWO_LABELS]


@pytest.mark.parametrize(
    ('bits', 'expected'), [(SAME_PICTURE, [TWO_LABELS] * 2), (SAME_PICTURE + 2, [TEST] * 2)]
)
def test_a_picture_that_was_saved_again_under_another_label_is_left_out(bits, expected):
    assert decided(image(1), image(1, bits, label=1)) == expected


@pytest.mark.parametrize('bits', [2, 15, NEAR])
def test_near_copies_are_where_the_one_with_the_lowest_digest_is(bits):
    apart = image(1, digest=5, split=TEST), image(1, bits, digest=3, split=EVAL)

    assert decided(*apart) == [EVAL, EVAL]
    assert decided(*reversed(apart)) == [EVAL, EVAL]


def test_copies_of_copies_are_together():
    chain = [image(1, bits, digest=9 - bits // 30, split=bits // 30) for bits in (0, 30, 60)]

    assert decided(*chain) == [TEST, TEST, TEST]


def test_unlike_pictures_are_not_near():
    assert decided(image(1, split=TRAIN), image(1, NEAR + 20, split=TEST)) == [TRAIN, TEST]


def test_a_copy_of_what_came_as_train_is_trained_on():
    given = image(1, digest=5, split=TRAIN, fixed=True)

    assert decided(given, image(1, 4, digest=1, split=TEST)) == [TRAIN, TRAIN]
    assert decided(image(1, digest=5, split=EVAL), given) == [TRAIN, DUPLICATE]


def test_a_copy_goes_where_an_earlier_span_has_it():
    earlier = image(1, split=EVAL)

    found = decided(image(1, split=TEST), image(1, 6, split=0, fixed=True), earlier=earlier)

    assert found == [EVAL, EVAL]


def test_a_copy_of_earlier_images_in_two_splits_is_left_out():
    earlier = images(image(1, 0, split=TRAIN), image(1, 70, split=TEST))

    assert decided(image(1, 35, split=TRAIN), earlier=earlier) == [BETWEEN]


def test_what_an_earlier_span_has_under_another_label_is_left_out():
    earlier = image(1, label=1)

    assert decided(image(1), image(2), image(1, 5), earlier=earlier) == [
        TWO_LABELS,
        TEST,
        TWO_LABELS,
    ]


def test_images_without_structure_are_not_near_one_another():
    plain = [image(0, split=split, digest=split + 1, label=split) for split in (0, 1, 2)]
    for each in plain:
        each['perceptual'] = 0

    assert decided(*plain) == [0, 1, 2]


def test_every_pair_up_to_fifteen_bits_apart_is_found():
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


def test_splits_of_many_near_copies_keep_their_shares():
    random = np.random.default_rng(5)
    burst = []
    for number in range(300):
        own = random.choice(3, 10, p=(0.6, 0.2, 0.2))
        burst += [
            image(number, 2 * n, digest=int(random.integers(2**60)), split=int(s))
            for n, s in enumerate(own)
        ]

    shares = np.bincount(decided(*burst), minlength=3) / 3000

    assert shares == pytest.approx((0.6, 0.2, 0.2), abs=0.08)


def test_with_a_distance_of_zero_only_the_same_bytes_count():
    new = image(1), image(1, 2, label=1), image(1, 4, split=TRAIN), image(1), image(2), image(2)

    assert decided(*new, near=0) == [TEST, TEST, TRAIN, DUPLICATE, TEST, DUPLICATE]


def test_an_image_under_two_labels_knows_the_other_one():
    found = decide(images(image(1), image(2), image(1, label=4), image(2, 3, label=1)), NONE, NEAR)

    assert found.places.tolist() == [TWO_LABELS] * 4
    assert found.other_labels.tolist() == [4, 1, 0, 0]


def test_images_of_other_spans_for_which_some_are_left_out_are_known():
    earlier = images(image(3), image(1, label=1), image(2, split=TRAIN), image(2, 70))

    found = decide(images(image(1), image(2, 35), image(3)), earlier, NEAR)

    assert found.places.tolist() == [TWO_LABELS, BETWEEN, TEST]
    assert found.because.tolist() == [False, True, True, True]
    assert found.repeated == 1


def test_a_film_of_which_all_frames_are_alike_is_in_one_split():
    random = np.random.default_rng(2)
    frames = []
    for number in range(600):
        bits = np.unpackbits(PICTURES[0])
        bits[random.choice(256, 3, replace=False)] ^= 1
        sha256 = np.frombuffer(random.bytes(32), np.uint8)
        frames.append((sha256, np.packbits(bits), 0, number % 3, False))

    assert len(set(decide(np.array(frames, IMAGE), NONE, NEAR).places)) == 1
