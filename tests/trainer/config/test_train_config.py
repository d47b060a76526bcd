"""Validation of the `trainer:` and `tuner:` keys of a recipe."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from common.errors import ConfigError
from trainer.config.train import TrainConfig, check_class_weights
from trainer.config.tuner import TunerConfig


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'fine_tune': {'from_layer': 1.5}}, 'the name of a layer, or a share below 1'),
        ({'fine_tune': {'from_layer': True}}, 'should be a number, not true or false'),
        ({'class_weights': 'even'}, "'balanced' or a weight for each class"),
        ({'class_weights': {'cats': 0}}, 'greater than 0'),
        ({'class_weights': {True: 1.0}}, 'in quotes if it is yes'),
        ({'weights': 'embedded', 'alpha': 1}, r'MobileNetV2 0.35, and .* MobileNetV2 1.0; set'),
        ({'augment': {'flip': True, 'cached_views': 1}}, 'cached_views is 1, .* 2 or more, or 0'),
        ({'model': 'a.b:c'}, 'set weights to random'),
        ({'model': 'a/b.py', 'weights': 'random'}, 'should match pattern'),
        ({'model': 'a:b', 'weights': 'random', 'alpha': 0.35}, 'alpha is 0.35, which a model of'),
        ({'model': 'a:b', 'weights': 'random', 'backbone': 'VGG16'}, 'backbone is VGG16, which a'),
        ({'fine_tune': {'optimizer': 'adamw'}}, 'adamw without weight_decay is adam'),
        ({'fine_tune': {'schedule': 'plateau', 'warmup': 0.1}}, 'plateau has no warm-up'),
        ({'feature_extraction': {'epochs': 0}}, 'both 0: nothing is trained'),
        ({'warm_start': 'latest'}, 'should be live, none, the number of a version, or a .keras'),
        ({'warm_start': 's3://bucket/model.keras'}, 'should be live, none, the number'),
        ({'fine_tune': {'epochs': 'car'}}, 'valid integer'),
        ({'fine_tune': {'epochs': 1, 'learning_rate': 0}}, 'greater than 0'),
        (
            {'fine_tune': {'epochs': 'auto'}, 'feature_extraction': {'epochs': 0}},
            'set fine_tune.epochs',
        ),
    ],
)
def test_reports_invalid_value_as_one_error(values, message):
    with pytest.raises(ValidationError, match=message) as error:
        TrainConfig.model_validate(values)
    assert error.value.error_count() == 1


@pytest.mark.parametrize(
    ('given', 'value', 'file'),
    [
        ('none', 'none', None),
        (None, 'none', None),
        ('live', 'live', None),
        (1795284347, '1795284347', None),
        ('a/model.keras', 'a/model.keras', Path('a/model.keras')),
    ],
)
def test_warm_start_is_live_a_version_a_file_or_none(given, value, file):
    config = TrainConfig(warm_start=given)
    assert (config.warm_start, config.warm_start_file) == (value, file)


def test_class_weights_must_match_the_classes():
    check_class_weights(TrainConfig(class_weights='balanced'), ('cats', 'dogs'))
    config = TrainConfig.model_validate({'class_weights': {'cats': 1, 'dog': 2}})
    with pytest.raises(ConfigError, match=r'names cats, dog, but .* classes cats, dogs'):
        check_class_weights(config, ('cats', 'dogs'))


@pytest.mark.parametrize(
    ('tuner', 'message'),
    [
        ({'space': {}}, 'at least 1 item'),
        ({'space': {'head.dropout': []}}, 'at least 1 item'),
        ({'space': {'alpha': [0.5, 1.0]}}, "should be 'batch_size', 'label_smoothing'"),
        ({'space': {'head.dropout': {'low': 0.5, 'high': 0.1}}}, 'should be less than high'),
        ({'space': {'head.dropout': {'low': 0, 'high': 0.1, 'log': True}}}, 'greater than 0 if'),
    ],
)
def test_rejects_invalid_search(tuner, message):
    with pytest.raises(ValidationError, match=message):
        TunerConfig.model_validate(tuner)
