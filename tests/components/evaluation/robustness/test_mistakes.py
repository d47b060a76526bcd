import numpy as np
import PIL.Image
import pytest
from bright_model import gray

from components.evaluation.robustness.mistakes import find_mistakes

CATS, DOGS = 0, 1


def found(images, classifier, folder, most=12):
    return find_mistakes(images, classifier, most, folder, lambda count: None)


@pytest.fixture
def images():
    """Three correctly classified images and three dark dogs."""
    right = [gray(40, CATS), gray(60, CATS), gray(200, DOGS)]
    return [*right, gray(110, DOGS), gray(90, DOGS), gray(100, DOGS)]


def test_sorts_mistakes_by_confidence(images, classifier, tmp_path):
    mistakes = found(images, classifier, tmp_path)

    assert [each.filename for each in mistakes] == ['1/90.png', '1/100.png', '1/110.png']
    assert {(each.label, each.answer) for each in mistakes} == {('dogs', 'cats')}
    assert mistakes[0].probability == pytest.approx(1 / (1 + np.exp(-3.5)))


def test_limits_number_of_mistakes(images, classifier, tmp_path):
    mistakes = found(images, classifier, tmp_path, most=2)

    assert [each.filename for each in mistakes] == ['1/90.png', '1/100.png']
    assert len(list((tmp_path / 'mistakes').iterdir())) == 4


def test_draws_thumbnail_and_overlay(classifier, tmp_path):
    (mistake,) = found([gray(90, DOGS, size=(600, 300))], classifier, tmp_path)

    with PIL.Image.open(tmp_path / mistake.picture) as picture:
        assert (picture.format, picture.size) == ('PNG', (240, 120))
        assert picture.getpixel((100, 50)) == (90, 90, 90)
    with PIL.Image.open(tmp_path / mistake.explanation) as explanation:
        assert explanation.size == (240, 120)
        assert explanation.getpixel((100, 50)) != (90, 90, 90)


def test_finds_mistakes_without_heat_maps(images, make_saved_model, tmp_path):
    from components.inference.classifier import Classifier

    unexplained = Classifier(make_saved_model(tmp_path / 'model', explains=False))
    mistakes = found(images, unexplained, tmp_path)
    assert [each.explanation for each in mistakes] == [None] * 3


def test_finds_no_mistakes_of_correct_model(classifier, tmp_path):
    assert found([gray(40, CATS)], classifier, tmp_path) == []


def test_ignores_nan_predictions(images, broken, tmp_path):
    assert found(images, broken, tmp_path) == []
