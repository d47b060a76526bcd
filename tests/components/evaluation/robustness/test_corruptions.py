import io

import numpy as np
import PIL.Image
import pytest
from image_bytes import natural

from components.evaluation.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt

ONE, OTHER = 'a1' * 32, 'b2' * 32


@pytest.fixture(scope='module')
def image():
    return np.asarray(natural(seed=3, size=(96, 80)))


def worse(image, corruption, sha256=ONE):
    return [corrupt(image, corruption, severity, sha256) for severity in SEVERITIES]


def distance(image, other):
    return np.abs(image.astype(float) - other).mean()


@pytest.mark.parametrize('corruption', CORRUPTIONS)
def test_each_severity_is_further_from_the_image_than_the_one_before(image, corruption):
    first, second, third = (distance(image, copy) for copy in worse(image, corruption))
    assert 0.5 < first < second < third


@pytest.mark.parametrize('corruption', CORRUPTIONS)
def test_a_copy_has_the_form_of_its_image_which_stays_as_it_is(image, corruption):
    before = image.copy()
    for copy in worse(image, corruption):
        assert (copy.shape, copy.dtype) == (image.shape, np.uint8)
    assert (image == before).all()


@pytest.mark.parametrize('corruption', CORRUPTIONS)
def test_an_image_is_always_changed_in_the_same_way(image, corruption):
    for one, again in zip(worse(image, corruption), worse(image, corruption), strict=True):
        assert (one == again).all()


def test_chance_is_another_for_another_image(image):
    for one, other in zip(worse(image, 'noise'), worse(image, 'noise', OTHER), strict=True):
        assert (one != other).any()


def test_images_are_turned_to_either_side(image):
    turned = {corrupt(image, 'rotation', 1, f'{n:064x}'[::-1]).tobytes() for n in range(8)}
    assert len(turned) == 2


def test_the_worst_jpeg_has_quality_10(image):
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, 'JPEG', quality=10)
    assert (corrupt(image, 'jpeg', 3, ONE) == np.asarray(PIL.Image.open(file))).all()


def test_nothing_black_comes_into_view_of_a_turned_image():
    white = np.full((60, 90, 3), 255, np.uint8)
    assert all((copy == 255).all() for copy in worse(white, 'rotation'))


def test_blur_is_as_strong_for_a_small_image_as_for_a_large_one():
    def lost(size):
        step = np.zeros((size, size, 3), np.uint8)
        step[:, size // 2 :] = 255
        return distance(step, corrupt(step, 'blur', 2, ONE))

    assert lost(64) == pytest.approx(lost(256), rel=0.25)
