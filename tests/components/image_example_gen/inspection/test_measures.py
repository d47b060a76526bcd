"""What is measured of an image, against values that can be computed by hand or in another way."""

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
import scipy.ndimage
from image_bytes import natural, noise, quarters

from components.image_example_gen.inspection.measures import measure, reduced


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> PIL.Image.Image:
    return PIL.Image.new('RGB', size, colour)


@pytest.mark.parametrize(('gray', 'brightness'), [(0, 0), (51, 0.2), (255, 1)])
def test_one_plain_gray_has_brightness_alone(gray: int, brightness: float) -> None:
    assert measure(plain((gray, gray, gray))) == pytest.approx((brightness, 0, 0, 0))


def test_half_black_and_half_white_has_the_most_contrast() -> None:
    black, white = (0, 0, 0), (255, 255, 255)
    measures = measure(quarters((64, 64), (black, white, black, white)))
    assert measures.contrast == pytest.approx(0.5)
    assert measures.brightness == pytest.approx(0.5)
    assert measures.colourfulness == 0


def test_luma_weighs_green_most() -> None:
    red, green, blue = (
        measure(plain(c)).brightness for c in ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    )
    assert (red, green, blue) == pytest.approx((0.299, 0.587, 0.114), abs=0.005)


def test_sharpness_is_the_logarithm_of_the_variance_of_the_laplacian() -> None:
    image = noise((90, 70))
    luma = np.asarray(image.convert('L'), float)
    expected = np.log1p(scipy.ndimage.laplace(luma, mode='nearest').var())
    assert measure(image).sharpness == pytest.approx(expected)


def test_blur_takes_sharpness_and_leaves_brightness() -> None:
    image = natural(0, (200, 150))
    blurred = image.filter(PIL.ImageFilter.GaussianBlur(3))
    assert measure(blurred).sharpness < measure(image).sharpness - 1
    assert measure(blurred).brightness == pytest.approx(measure(image).brightness, abs=0.01)


def test_colourfulness_is_m3_of_hasler_and_suesstrunk() -> None:
    image = noise((80, 50))
    red, green, blue = np.moveaxis(np.asarray(image, float), -1, 0)
    axes = red - green, (red + green) / 2 - blue
    spread, centre = (np.hypot(*(getattr(a, name)() for a in axes)) for name in ('std', 'mean'))
    assert measure(image).colourfulness == pytest.approx(spread + 0.3 * centre)


def test_measures_do_not_depend_on_the_size() -> None:
    image = noise((240, 180))
    larger = image.resize((960, 720), PIL.Image.Resampling.NEAREST)
    assert measure(larger) == pytest.approx(measure(image))


@pytest.mark.parametrize('size', [(16, 16), (1, 1), (16, 60_000), (257, 3)])
def test_any_size_can_be_measured(size: tuple[int, int]) -> None:
    assert max(reduced(plain((200, 10, 10), size)).size) <= 256
    assert all(np.isfinite(measure(plain((200, 10, 10), size))))
