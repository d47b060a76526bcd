"""Measures and perceptual hash, against values computed by hand or by another library."""

import io

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageFilter
import PIL.ImageOps
import pytest
import scipy.fft
import scipy.ndimage
from image_bytes import encoded, natural, noise, quarters

from components.image_example_gen.inspection.measures import measure, perceptual_hash, reduced


def plain(colour, size=(64, 64)):
    return PIL.Image.new('RGB', size, colour)


@pytest.mark.parametrize(('gray', 'brightness'), [(0, 0), (51, 0.2), (255, 1)])
def test_one_plain_gray_has_brightness_alone(gray, brightness):
    assert measure(plain((gray, gray, gray))) == pytest.approx((brightness, 0, 0, 0))


def test_half_black_and_half_white_has_the_most_contrast():
    black, white = (0, 0, 0), (255, 255, 255)
    measures = measure(quarters((64, 64), (black, white, black, white)))
    assert (measures.brightness, measures.contrast) == pytest.approx((0.5, 0.5))
    assert measures.colourfulness == 0


def test_sharpness_is_the_logarithm_of_the_variance_of_the_laplacian():
    image = noise((90, 70))
    luma = np.asarray(image.convert('L'), float)
    expected = np.log1p(scipy.ndimage.laplace(luma, mode='nearest').var())
    assert measure(image).sharpness == pytest.approx(expected)


def test_colourfulness_is_m3_of_hasler_and_suesstrunk():
    image = noise((80, 50))
    red, green, blue = np.moveaxis(np.asarray(image, float), -1, 0)
    axes = red - green, (red + green) / 2 - blue
    spread, centre = (np.hypot(*(getattr(a, name)() for a in axes)) for name in ('std', 'mean'))
    assert measure(image).colourfulness == pytest.approx(spread + 0.3 * centre)


def test_measures_do_not_depend_on_the_size():
    image = noise((240, 180))
    larger = image.resize((960, 720), PIL.Image.Resampling.NEAREST)
    assert measure(larger) == pytest.approx(measure(image))


@pytest.mark.parametrize('size', [(16, 16), (1, 1), (16, 60_000), (257, 3)])
def test_image_of_one_colour_and_any_size_can_be_measured(size):
    image = plain((200, 10, 10), size)
    assert max(reduced(image).size) <= 256
    assert all(np.isfinite(measure(image)))
    assert perceptual_hash(image) == bytes(32)


def distance(one, other):
    hashes = [np.frombuffer(perceptual_hash(image), np.uint8) for image in (one, other)]
    return int(np.unpackbits(hashes[0] ^ hashes[1]).sum())


@pytest.fixture(scope='module')
def pictures():
    return [natural(seed) for seed in range(12)]


def test_hash_of_an_image_never_changes():
    values = np.arange(64)[:, None] * np.arange(3, 83) ** 2 // 50 % 251
    image = PIL.Image.fromarray(values.astype(np.uint8)).convert('RGB')
    assert perceptual_hash(image).hex() == (
        '00070ff83f013e1f3c7c3c7038e179c371c773d6739c67386639623166336663'
    )


def test_compression_and_size_change_hash_little(pictures):
    for picture in pictures:
        compressed = PIL.Image.open(io.BytesIO(encoded(picture, 'JPEG', quality=30)))
        assert distance(picture, compressed) <= 16
        assert distance(picture, picture.resize((160, 120))) <= 16
        assert distance(picture, PIL.ImageEnhance.Brightness(picture).enhance(0.8)) <= 16


def test_other_images_have_distant_hashes(pictures):
    for number, picture in enumerate(pictures):
        assert distance(picture, PIL.ImageOps.mirror(picture)) > 64
        assert all(distance(picture, other) > 64 for other in pictures[:number])
