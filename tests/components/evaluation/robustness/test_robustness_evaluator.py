import PIL.Image
import pytest
from bright_model import gray
from example_records import write_records
from tfx.types import standard_artifacts

from common import features
from components.evaluation.results import ROBUSTNESS_FILE, Robustness
from components.evaluation.robustness.component import RobustnessEvaluator, RobustnessResults


def record(image):
    return {
        features.IMAGE_BYTES: image.contents,
        features.FILENAME: image.filename,
        features.LABEL: image.label,
    }


@pytest.fixture(scope='module')
def folder(tmp_path_factory, make_saved_model):
    """A model, and two spans of three images, one of them compressed."""
    folder = tmp_path_factory.mktemp('robustness')
    make_saved_model(folder / 'model' / 'Format-Serving')
    for number, name in enumerate(('data_tfrecord-00000-of-00001', 'data_tfrecord-00000.gz')):
        images = [gray(30 + number, 0), gray(200 + number, 1), gray(90 + number, 1)]
        write_records(folder / f'span-{number}' / 'Split-test' / name, map(record, images))
    return folder


def evaluate(folder, target, config):
    spans = [standard_artifacts.Examples(), standard_artifacts.Examples()]
    model, results = standard_artifacts.Model(), RobustnessResults()
    for artifact, name in ((spans[0], 'span-0'), (spans[1], 'span-1'), (model, 'model')):
        artifact.uri = str(folder / name)
    results.uri = str(target)
    function = RobustnessEvaluator.EXECUTOR_SPEC.executor_class._FUNCTION
    function(examples=spans, model=model, robustness=results, config=config, code='')
    return Robustness.model_validate_json((target / ROBUSTNESS_FILE).read_text())


def test_evaluates_all_spans(folder, tmp_path):
    found = evaluate(folder, tmp_path, '{"images": 100}')

    assert found.clean.value == pytest.approx(4 / 6)
    assert {row.images for row in found.corrupted} == {6}
    assert [each.filename for each in found.mistakes] == ['1/90.png', '1/91.png']
    with PIL.Image.open(tmp_path / found.mistakes[0].explanation) as picture:
        assert picture.size == (48, 32)


@pytest.mark.parametrize(('images', 'counts'), [(4, {4}), (0, set())])
def test_corrupts_configured_number_of_images(folder, tmp_path, images, counts):
    found = evaluate(folder, tmp_path, f'{{"images": {images}}}')

    assert {row.images for row in found.corrupted} == counts
    assert (found.clean is None) == (images == 0)
    assert len(found.mistakes) == 2
