import pytest

from common.errors import ModelError
from components.inference.classifier import Classifier, PredictedClass, to_predicted_class
from components.inference.model_folder import read_classes
from components.pusher.serving_folder import find_model


@pytest.mark.parametrize(
    ('name', 'probabilities', 'classes', 'probability'),
    [
        ('dogs', [0.75], ['cats', 'dogs'], 0.75),
        ('cats', [0.25], ['cats', 'dogs'], 0.75),
        ('cats', [0.75], ['cats', 'dogs'], 0.25),  # with a threshold above 0.75
        ('foxes', [0.2, 0.1, 0.7], ['cats', 'dogs', 'foxes'], 0.7),
    ],
)
def test_probability_is_that_of_predicted_class(name, probabilities, classes, probability):
    expected = PredictedClass(name, probability)
    assert to_predicted_class(name, probabilities, classes) == expected


def test_nan_probability_has_no_class():
    assert to_predicted_class('', [float('nan')], ['cats', 'dogs']).name is None


@pytest.mark.parametrize('contents', [None, '7'])
def test_rejects_model_without_list_of_classes(make_saved_model, tmp_path, contents):
    folder = make_saved_model(tmp_path / 'model', classes=None)
    if contents:
        (folder / 'assets.extra').mkdir()
        (folder / 'assets.extra' / 'classes.json').write_text(contents)
    with pytest.raises(ModelError, match=r'no readable assets\.extra/classes'):
        read_classes(folder)


@pytest.mark.parametrize('name', ['saved_model.pb', 'variables/variables.data-00000-of-00001'])
def test_rejects_damaged_model(make_saved_model, tmp_path, name):
    folder = make_saved_model(tmp_path / 'model')
    (folder / name).write_bytes((folder / name).read_bytes()[:2])
    with pytest.raises(ModelError, match='cannot be loaded: '):
        Classifier(folder)


def test_rejects_unknown_predicted_class():
    with pytest.raises(ModelError, match=r"predicts 'birds', which is not in its .*: cats"):
        to_predicted_class('birds', [0.9], ['cats', 'dogs'])


def test_rejects_model_without_signature(broken):
    with pytest.raises(ModelError, match='has no signature explain_images'):
        broken.heat_maps([b''])


@pytest.fixture
def serving(tmp_path):
    """Serving directory with three versions and another folder."""
    for name in ('9', '10', '2', '11.partial'):
        (tmp_path / 'serving' / name).mkdir(parents=True)
    return tmp_path / 'serving'


def test_highest_version_is_live(serving):
    assert find_model(serving, None) == serving / '10'


def test_finds_version_or_folder(serving, tmp_path):
    assert find_model(serving, '2') == serving / '2'
    assert find_model(serving, str(tmp_path)) == tmp_path


def test_unknown_version_lists_available_versions(serving):
    with pytest.raises(ModelError, match=r'7 is neither a folder nor a version in .*: 2, 9, 10'):
        find_model(serving, '7')


def test_rejects_empty_serving_directory(tmp_path):
    with pytest.raises(ModelError, match=r'no model is live in .*; run the recipe until one is'):
        find_model(tmp_path / 'nowhere', None)
