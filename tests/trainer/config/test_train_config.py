"""The `trainer:` and `tuner:` parts of a recipe, and what they refuse."""

import pytest
from pydantic import ValidationError

from common.errors import ConfigError
from trainer.config.train import TrainConfig, check_class_weights
from trainer.config.tuner import TunerConfig


def test_a_layer_is_a_number_or_a_name():
    for layer in (100, 'block_14_expand'):
        config = TrainConfig.model_validate({'fine_tune': {'from_layer': layer}})
        assert config.fine_tune.from_layer == layer


@pytest.mark.parametrize('layer', [1.5, True, None])
def test_anything_else_as_a_layer_is_told_in_one_error(layer):
    with pytest.raises(ValidationError, match='the number or the name of a layer') as error:
        TrainConfig.model_validate({'fine_tune': {'from_layer': layer}})
    assert error.value.error_count() == 1


@pytest.mark.parametrize('key', ['hidden', 'dropout', 'l2'])
def test_negative_numbers_in_the_head_are_refused(key):
    with pytest.raises(ValidationError, match=key):
        TrainConfig.model_validate({'head': {key: [-1] if key == 'hidden' else -1}})


@pytest.mark.parametrize('value', ['even', 3, {'cats': 0}])
def test_class_weights_are_balanced_or_positive_numbers(value):
    with pytest.raises(ValidationError, match='class_weights'):
        TrainConfig.model_validate({'class_weights': value})


def test_class_weights_of_other_classes_are_named():
    config = TrainConfig.model_validate({'class_weights': {'cats': 1, 'dog': 2}})
    with pytest.raises(ConfigError, match=r'names cats, dog; the data has the classes cats, dogs'):
        check_class_weights(config, ('cats', 'dogs'))


@pytest.mark.parametrize('name', [True, 7])
def test_a_name_that_yaml_reads_as_something_else_is_to_be_quoted(name):
    with pytest.raises(ValidationError, match=rf'{name} is not the name .* quote it') as error:
        TrainConfig.model_validate({'class_weights': {name: 1.0}})
    assert error.value.error_count() == 1


def test_embedded_weights_of_another_width_are_refused_with_what_is_right():
    with pytest.raises(ValidationError, match=r'MobileNetV2 0.35, and alpha is 1.0; set') as error:
        TrainConfig.model_validate({'weights': 'embedded', 'alpha': 1})
    assert error.value.error_count() == 1
    assert TrainConfig(weights='embedded', alpha=0.35).weights == 'embedded'


def test_the_cache_is_switched_as_yaml_says_it():
    assert TrainConfig.model_validate({'cache': 'off'}).cache is False


def test_dotted_keys_are_replaced_and_checked():
    config = TrainConfig().replaced({'head.dropout': 0.5, 'batch_size': 8})
    assert (config.head.dropout, config.batch_size) == (0.5, 8)
    with pytest.raises(ValidationError, match='less than 1'):
        TrainConfig().replaced({'head.dropout': 2})


@pytest.mark.parametrize(
    ('tuner', 'message'),
    [
        ({'space': {}}, 'names no key'),
        ({'space': {'head.dropout': []}}, 'at least 1 item'),
        ({'space': {'alpha': [0.5, 1.0]}}, 'alpha cannot be tuned; these can: batch_size'),
        ({'space': {'head.dropout': {'low': 0.5, 'high': 0.1}}}, 'should be less than high'),
        ({'space': {'head.dropout': {'low': 0, 'high': 0.1, 'log': True}}}, 'more than 0 where'),
        ({'space': {'label_smoothing': [0.0, 0.1]}}, 'set objective: val_accuracy'),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(tuner, message):
    with pytest.raises(ValidationError, match=message):
        TunerConfig.model_validate(tuner)
