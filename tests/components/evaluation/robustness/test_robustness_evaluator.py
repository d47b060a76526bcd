"""Predictor and RobustnessEvaluator, which reads its predictions."""

import numpy as np
import PIL.Image
import pytest
from bright_model import gray
from example_records import write_records
from tfx.types import standard_artifacts

from common import features
from components.evaluation.predictions.component import Predictions, Predictor
from components.evaluation.predictions.prediction_files import (
    PREDICTIONS_FILE,
    read_rows,
    write_predictions,
)
from components.evaluation.results import ROBUSTNESS_FILE, Robustness
from components.evaluation.robustness.component import RobustnessEvaluator, RobustnessResults
from components.image_example_gen.ingestion.duplicates import IMAGE
from components.inference.classifier import Classifier

NEAR = 10


def record(image):
    return {
        features.IMAGE_BYTES: image.contents,
        features.FILENAME: image.filename,
        features.LABEL: image.label,
        features.BRIGHTNESS: 0.25,
    }


def write_index(folder, images):
    """Writes the index of a span with test images."""
    digests = (np.frombuffer(bytes.fromhex(each.key), np.uint8) for each in images)
    test, nothing = features.SPLITS.index('test'), np.zeros(32, np.uint8)
    entries = [(digest, nothing, 0, test, 0, 0) for digest in digests]
    np.save(folder / features.INDEX, np.array(entries, IMAGE))


def function_of(component):
    return component.EXECUTOR_SPEC.executor_class._FUNCTION


@pytest.fixture(scope='module')
def artifacts(tmp_path_factory, make_saved_model):
    """A model, two spans of four images, one of which is in both, and predictions."""
    folder = tmp_path_factory.mktemp('robustness')
    make_saved_model(folder / 'model' / 'Format-Serving')
    for number in range(2):
        images = [gray(30 + number, 0), gray(200 + number, 1), gray(90 + number, 1), gray(20, 0)]
        write_records(folder / f'span-{number}' / 'Split-test' / 'records', map(record, images))
        write_index(folder / f'span-{number}', images)
    spans = [standard_artifacts.Examples(), standard_artifacts.Examples()]
    model, predictions = standard_artifacts.Model(), Predictions()
    names = ((spans[0], 'span-0'), (spans[1], 'span-1'), (model, 'model'), (predictions, 'out'))
    for artifact, name in names:
        artifact.uri = str(folder / name)
    function_of(Predictor)(examples=spans, model=model, predictions=predictions, near_distance=NEAR)
    return {'examples': spans, 'model': model, 'predictions': predictions}


def evaluate(artifacts, target, images, reference='none'):
    """`reference` is the folder with the predictions of the reference model."""
    results, others = RobustnessResults(), Predictions()
    results.uri, others.uri = str(target), str(reference)
    function_of(RobustnessEvaluator)(
        **artifacts,
        reference_predictions=others,
        robustness=results,
        sample_size=images,
        resize='squeeze',
    )
    return Robustness.model_validate_json((target / ROBUSTNESS_FILE).read_text())


def test_predictions_are_stored_once_per_image(artifacts, tmp_path):
    file = f'{artifacts["predictions"].uri}/{PREDICTIONS_FILE}'

    found = list(read_rows({'candidate': file}))

    assert [(row.filename, row.label, row.predicted['candidate']) for row in found] == [
        *(('0/30.png', 0, 0), ('1/200.png', 1, 1), ('1/90.png', 1, 0), ('0/20.png', 0, 0)),
        *(('0/31.png', 0, 0), ('1/201.png', 1, 1), ('1/91.png', 1, 0)),
    ]
    assert found[0].slices['brightness'] == 'dark'
    assert found[1].probability['candidate'][1] > 0.99
    assert len({row.key for row in found}) == len(found)


def test_same_images_have_the_same_digest(artifacts, tmp_path):
    again = Predictions()
    again.uri = str(tmp_path)
    inputs = {key: artifacts[key] for key in ('examples', 'model')}
    function_of(Predictor)(**inputs, predictions=again, near_distance=NEAR)
    first = artifacts['predictions'].get_string_custom_property('test_images')
    assert again.get_string_custom_property('test_images') == first

    inputs['examples'] = inputs['examples'][:1]
    function_of(Predictor)(**inputs, predictions=again, near_distance=NEAR)
    assert again.get_string_custom_property('test_images') != first


def test_robustness_evaluates_all_spans(artifacts, tmp_path):
    found = evaluate(artifacts, tmp_path, 100)

    assert found.clean.value == pytest.approx(5 / 7)
    assert found.images == 7
    assert [each.filename for each in found.mistakes] == ['1/90.png', '1/91.png']
    with PIL.Image.open(tmp_path / found.mistakes[0].explanation) as picture:
        assert picture.size == (48, 32)


def test_images_that_got_worse_or_better_are_drawn(artifacts, tmp_path):
    dogs = [gray(each, 1) for each in (200, 90, 201, 91)]
    cats = [gray(each, 0) for each in (30, 20, 31)]
    rows = [(image, 1, np.array([0.1, 0.9], np.float32)) for image in cats + dogs]
    write_predictions(tmp_path / 'reference', rows)  # predicts dogs for all

    found = evaluate(artifacts, tmp_path, 0, tmp_path / 'reference')

    assert {each.filename for each in found.worse} == {'1/90.png', '1/91.png'}
    assert {each.filename for each in found.better} == {'0/30.png', '0/20.png', '0/31.png'}
    change = found.better[0]
    assert (change.label, change.before, change.predicted) == ('cats', 'dogs', 'cats')
    with PIL.Image.open(tmp_path / change.picture) as picture:
        assert picture.size == (48, 32)


def test_robustness_runs_no_clean_image_through_the_model(artifacts, tmp_path, monkeypatch):
    used, outputs = set(), Classifier.outputs

    def record(self, signature, values):
        used.add(signature)
        return outputs(self, signature, values)

    monkeypatch.setattr(Classifier, 'outputs', record)
    assert evaluate(artifacts, tmp_path, 3).clean
    assert used == {features.SIGNATURE_PIXELS, features.SIGNATURE_EXPLANATION}


@pytest.mark.parametrize('images', [4, 0])
def test_corrupts_configured_number_of_images(artifacts, tmp_path, images):
    found = evaluate(artifacts, tmp_path, images)

    assert found.images == images
    assert bool(found.clean) == bool(found.corrupted) == bool(images)
    assert len(found.mistakes) == 2
