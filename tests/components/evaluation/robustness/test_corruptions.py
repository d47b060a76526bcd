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


def corrupted(image, corruption, sha256=ONE):
    return [corrupt(image, corruption, severity, sha256) for severity in SEVERITIES]


def distance(image, other):
    return np.abs(image.astype(float) - other).mean()


@pytest.mark.parametrize('corruption', CORRUPTIONS)
def test_distance_grows_with_severity(image, corruption):
    first, second, third = (distance(image, copy) for copy in corrupted(image, corruption))
    assert 0.5 < first < second < third


@pytest.mark.parametrize('corruption', CORRUPTIONS)
def test_keeps_shape_and_original(image, corruption):
    before = image.copy()
    for copy in corrupted(image, corruption):
        assert (copy.shape, copy.dtype) == (image.shape, np.uint8)
    assert (image == before).all()


@pytest.mark.parametrize('corruption', CORRUPTIONS)
def test_is_deterministic(image, corruption):
    for one, again in zip(corrupted(image, corruption), corrupted(image, corruption), strict=True):
        assert (one == again).all()


def test_noise_depends_on_image(image):
    for one, other in zip(corrupted(image, 'noise'), corrupted(image, 'noise', OTHER), strict=True):
        assert (one != other).any()


def test_rotates_left_or_right(image):
    rotated = {corrupt(image, 'rotation', 1, f'{n:064x}'[::-1]).tobytes() for n in range(8)}
    assert len(rotated) == 2


def test_highest_jpeg_severity_is_quality_10(image):
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, 'JPEG', quality=10)
    assert (corrupt(image, 'jpeg', 3, ONE) == np.asarray(PIL.Image.open(file))).all()


def test_rotation_has_no_black_corners():
    white = np.full((60, 90, 3), 255, np.uint8)
    assert all((copy == 255).all() for copy in corrupted(white, 'rotation'))


def test_blur_scales_with_image_size():
    def lost(size):
        step = np.zeros((size, size, 3), np.uint8)
        step[:, size // 2 :] = 255
        return distance(step, corrupt(step, 'blur', 2, ONE))

    assert lost(64) == pytest.approx(lost(256), rel=0.25)
