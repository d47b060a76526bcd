import json

import pytest

from common.errors import ModelError
from components.inference.classifier import Answer, Classifier, answer_of
from components.inference.model_folder import read_classes
from components.pusher.serving_folder import find_model


def test_of_two_classes_the_probability_is_that_of_the_class_that_is_said():
    assert answer_of('dogs', [0.75], ['cats', 'dogs']) == Answer('dogs', 0.75)
    assert answer_of('cats', [0.25], ['cats', 'dogs']) == Answer('cats', 0.75)


def test_a_threshold_may_make_the_model_say_the_less_likely_class():
    assert answer_of('cats', [0.75], ['cats', 'dogs']) == Answer('cats', 0.25)


def test_of_more_classes_each_has_its_own():
    assert answer_of('foxes', [0.2, 0.1, 0.7], ['cats', 'dogs', 'foxes']) == Answer('foxes', 0.7)


def test_where_there_is_no_number_there_is_no_class():
    assert answer_of('', [float('nan')], ['cats', 'dogs']).name is None


def test_a_model_that_does_not_name_its_classes_is_told(make_saved_model, tmp_path):
    folder = make_saved_model(tmp_path / 'model', classes=None)
    with pytest.raises(ModelError, match=r'does not say which classes .* assets\.extra/classes'):
        read_classes(folder)


def test_a_model_that_is_damaged_is_told(make_saved_model, tmp_path):
    folder = make_saved_model(tmp_path / 'model')
    (folder / 'saved_model.pb').write_bytes(b'no model')
    with pytest.raises(ModelError, match='cannot be loaded: '):
        Classifier(folder)


def test_a_model_whose_weights_are_cut_off_is_told(make_saved_model, tmp_path):
    folder = make_saved_model(tmp_path / 'model')
    weights = folder / 'variables' / 'variables.data-00000-of-00001'
    weights.write_bytes(weights.read_bytes()[:2])
    with pytest.raises(ModelError, match='cannot be loaded: '):
        Classifier(folder)


def test_a_model_that_says_a_class_that_it_does_not_name_is_told():
    with pytest.raises(ModelError, match=r"says 'birds', which is none of its classes .*: cats"):
        answer_of('birds', [0.9], ['cats', 'dogs'])


def test_a_model_without_a_signature_that_is_needed_is_told(broken):
    with pytest.raises(ModelError, match='has no signature explain_images'):
        broken.heat_maps([b''])


@pytest.fixture
def serving(tmp_path):
    """Three versions, and what is no version."""
    for name in ('9', '10', '2', '11.partial'):
        (tmp_path / 'serving' / name).mkdir(parents=True)
    return tmp_path / 'serving'


def test_the_highest_number_is_live(serving):
    assert find_model(serving, None) == serving / '10'


def test_a_version_or_a_folder_may_be_asked_for(serving, tmp_path):
    assert find_model(serving, '2') == serving / '2'
    assert find_model(serving, str(tmp_path)) == tmp_path


def test_a_version_that_is_not_there_is_told_with_those_that_are(serving):
    with pytest.raises(ModelError, match=r'7 is neither a folder nor a version in .*: 2, 9, 10'):
        find_model(serving, '7')


def test_where_nothing_was_pushed_nothing_is_live(tmp_path):
    with pytest.raises(ModelError, match=r'no model is live in .*; run the recipe until one is'):
        find_model(tmp_path / 'nowhere', None)


def test_a_list_of_classes_that_is_no_list_is_told(make_saved_model, tmp_path):
    folder = make_saved_model(tmp_path / 'model')
    (folder / 'assets.extra' / 'classes.json').write_text(json.dumps(7))
    with pytest.raises(ModelError, match='does not say which classes'):
        read_classes(folder)
