"""Near duplicates have near hashes, other images far ones."""

import io

import image_bytes as made
import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
import pytest
import scipy.fft

from components.image_example_gen.inspection.measures import reduced
from components.image_example_gen.inspection.perceptual_hash import perceptual_hash


def bits(image: PIL.Image.Image) -> np.ndarray:
    return np.unpackbits(np.frombuffer(perceptual_hash(image), np.uint8))


def distance(one: PIL.Image.Image, other: PIL.Image.Image) -> int:
    return int((bits(one) != bits(other)).sum())


@pytest.fixture(scope='module')
def pictures() -> list[PIL.Image.Image]:
    return [made.natural(seed) for seed in range(12)]


def test_a_hash_has_256_bits() -> None:
    assert len(perceptual_hash(made.noise())) == 32


def test_it_is_the_sign_of_the_lowest_frequencies_about_their_median() -> None:
    image = made.natural(7, (200, 150))
    luma = reduced(image).convert('L').resize((64, 64), PIL.Image.Resampling.BILINEAR)
    frequencies = scipy.fft.dctn(np.asarray(luma, float))[:16, :16]
    # scipy does not halve the first row and column, nor does the definition used here
    above = frequencies.ravel() > np.median(frequencies.ravel()[1:])
    above[0] = False
    assert (bits(image) != above).sum() <= 1  # of rounding


@pytest.mark.parametrize('gray', [0, 1, 128, 255])
@pytest.mark.parametrize('size', [(16, 16), (1, 1), (500, 300)])
def test_an_image_of_one_colour_has_a_hash_of_zeros(gray: int, size: tuple[int, int]) -> None:
    assert perceptual_hash(PIL.Image.new('RGB', size, (gray,) * 3)) == bytes(32)


def test_the_hash_of_an_image_never_changes() -> None:
    values = np.arange(64)[:, None] * np.arange(3, 83) ** 2 // 50 % 251
    image = PIL.Image.fromarray(values.astype(np.uint8)).convert('RGB')
    assert perceptual_hash(image).hex() == (
        '00070ff83f013e1f3c7c3c7038e179c371c773d6739c67386639623166336663'
    )


def test_compression_and_size_change_little(pictures: list[PIL.Image.Image]) -> None:
    for picture in pictures:
        compressed = PIL.Image.open(io.BytesIO(made.encoded(picture, 'JPEG', quality=30)))
        assert distance(picture, compressed) <= 16
        assert distance(picture, picture.resize((160, 120))) <= 16
        assert distance(picture, PIL.ImageEnhance.Brightness(picture).enhance(0.8)) <= 16


def test_other_images_are_far_away(pictures: list[PIL.Image.Image]) -> None:
    for number, picture in enumerate(pictures):
        assert distance(picture, PIL.ImageOps.mirror(picture)) > 64
        assert all(distance(picture, other) > 64 for other in pictures[:number])
