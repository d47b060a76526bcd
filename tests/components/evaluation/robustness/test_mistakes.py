import numpy as np
import PIL.Image
import pytest
from bright_model import gray

from common import features
from components.evaluation.predictions.prediction_files import PredictedRow
from components.evaluation.robustness import mistakes as mistakes_module
from components.evaluation.robustness.mistakes import ShownRows
from components.inference.classifier import Classifier

CATS, DOGS = 0, 1
# Three correctly classified images and three dark dogs.
IMAGES = [
    *(gray(40, CATS), gray(60, CATS), gray(200, DOGS)),
    *(gray(110, DOGS), gray(90, DOGS), gray(100, DOGS)),
]


def rows(images, classifier):
    labels, probabilities = classifier.labels_of(
        features.SIGNATURE_IMAGES, [each.contents for each in images]
    )
    return [
        PredictedRow(
            *(each.key, each.label, each.filename),
            {'candidate': label},
            {'candidate': row},
            {},
        )
        for each, label, row in zip(images, labels, probabilities, strict=True)
    ]


def find_mistakes(images, classifier, folder):
    by_key = {image.key: image for image in images}
    return ShownRows.of(rows(images, classifier)).draw(by_key, classifier, folder).mistakes


def test_finds_most_confident_mistakes(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(mistakes_module, '_MOST', 2)
    mistakes = find_mistakes(IMAGES, classifier, tmp_path)

    assert [each.filename for each in mistakes] == ['1/90.png', '1/100.png']
    assert {(each.label, each.predicted) for each in mistakes} == {('dogs', 'cats')}
    assert mistakes[0].probability == pytest.approx(1 / (1 + np.exp(-3.5)))
    assert len(list((tmp_path / 'pictures').iterdir())) == 4


def test_probability_is_that_of_the_predicted_class():
    row = PredictedRow('', 0, '', {'candidate': 2}, {'candidate': np.array([0.1, 0.2, 0.7])}, {})
    other = PredictedRow('', 0, '', {'candidate': 1}, {'candidate': np.array([0.2, 0.8, 0.0])}, {})

    assert ShownRows.of([row, other]).mistakes == [other, row]


def test_draws_thumbnail_and_overlay(classifier, tmp_path):
    (mistake,) = find_mistakes([gray(90, DOGS, size=(600, 300))], classifier, tmp_path)

    with PIL.Image.open(tmp_path / mistake.picture) as picture:
        assert (picture.format, picture.size) == ('PNG', (240, 120))
        assert picture.getpixel((100, 50)) == (90, 90, 90)
    with PIL.Image.open(tmp_path / mistake.explanation) as explanation:
        assert explanation.size == (240, 120)
        red, green, blue = explanation.getpixel((100, 50))
        assert red > blue > green  # inferno at 0.35, over gray


def test_finds_mistakes_without_heat_maps(make_saved_model, tmp_path):
    unexplained = Classifier(make_saved_model(tmp_path / 'model', explains=False))
    mistakes = find_mistakes(IMAGES, unexplained, tmp_path)
    assert [each.explanation for each in mistakes] == [None] * 3


@pytest.mark.parametrize('model', ['classifier', 'broken'])
def test_correct_and_nan_predictions_are_no_mistakes(model, request, tmp_path):
    images = IMAGES[:3] if model == 'classifier' else IMAGES
    assert find_mistakes(images, request.getfixturevalue(model), tmp_path) == ()
