import tracemalloc

import numpy as np
import pytest
from index_entries import NEAR, PICTURES, image, splits_of

from components.image_example_gen.ingestion.duplicates import has_near


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


def test_similar_frames_of_a_film_are_in_one_split():
    random = np.random.default_rng(2)
    frames = np.repeat(image(0), 600)
    frames['sha256'] = random.integers(0, 256, (600, 32))
    bits = np.unpackbits(frames['perceptual'], axis=1)
    for each in bits:
        each[random.choice(256, 3, replace=False)] ^= 1
    frames['perceptual'] = np.packbits(bits, axis=1)

    assert len(set(splits_of(frames))) == 1
