import PIL.Image
import pytest
from bright_model import gray
from example_records import write_records
from tfx.types import standard_artifacts

from common import features
from components.evaluation.results import Robustness
from components.evaluation.robustness.component import RobustnessEvaluator, RobustnessResults


def record(image):
    return {
        features.IMAGE_BYTES: image.contents,
        features.FILENAME: image.filename,
        features.LABEL: image.label,
    }


@pytest.fixture
def evaluate(tmp_path, make_saved_model):
    """`evaluate(config)` runs the executor on two spans, one of them compressed."""
    spans = []
    for number, name in enumerate(('data_tfrecord-00000-of-00001', 'data_tfrecord-00000.gz')):
        examples = standard_artifacts.Examples()
        examples.uri = str(tmp_path / f'span-{number}')
        images = [gray(30 + number, 0), gray(200 + number, 1), gray(90 + number, 1)]
        path = tmp_path / f'span-{number}' / 'Split-test' / name
        write_records(path, map(record, images))
        spans.append(examples)
    model, results = standard_artifacts.Model(), RobustnessResults()
    model.uri, results.uri = str(tmp_path / 'model'), str(tmp_path / 'results')
    make_saved_model(tmp_path / 'model' / 'Format-Serving')
    (tmp_path / 'results').mkdir()

    def run(config: str) -> Robustness:
        function = RobustnessEvaluator.EXECUTOR_SPEC.executor_class._FUNCTION
        function(examples=spans, model=model, robustness=results, config=config, code='')
        written = (tmp_path / 'results' / 'robustness.json').read_text()
        return Robustness.model_validate_json(written)

    return run


def test_evaluates_all_spans(evaluate, tmp_path):
    found = evaluate('{"images": 100}')

    assert found.clean.value == pytest.approx(4 / 6)
    assert {row.images for row in found.corrupted} == {6}
    assert [each.filename for each in found.mistakes] == ['1/90.png', '1/91.png']
    with PIL.Image.open(tmp_path / 'results' / found.mistakes[0].explanation) as picture:
        assert picture.size == (48, 32)


def test_corrupts_configured_number_of_images(evaluate):
    found = evaluate('{"images": 4}')
    assert {row.images for row in found.corrupted} == {4}


def test_finds_mistakes_without_corruptions(evaluate):
    found = evaluate('{"images": 0}')
    assert (found.clean, found.corrupted, len(found.mistakes)) == (None, (), 2)
