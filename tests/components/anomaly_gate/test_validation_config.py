import pytest

from common.errors import ConfigError
from components.anomaly_gate.config import DriftLimits, SkewLimits
from components.anomaly_gate.statistics_comparison import feature_of
from pipeline.config.recipe import load_recipe
from pipeline.schema import described_features


def test_every_limit_has_a_feature_of_the_schema():
    limits = {*DriftLimits.model_fields, *SkewLimits.model_fields}
    described = {feature.name for feature in described_features().feature}

    assert set(map(feature_of, limits)) <= described


def test_recipe_sets_limits_and_actions():
    changes = [('validation.on_drift', 'stop'), ('validation.drift.brightness', 0.3)]

    validation = load_recipe('demo', changes).validation

    assert (validation.on_drift, validation.on_skew) == ('stop', 'warn')
    assert (validation.drift.brightness, validation.drift.contrast) == (0.3, 0.2)


@pytest.mark.parametrize(
    ('key', 'value', 'words'),
    [
        ('validation.on_drift', 'ignore', "should be 'warn' or 'stop', got 'ignore'"),
        ('validation.drift.brightness', 30, 'less than or equal to 1, got 30'),
        ('validation.drift.brightnes', 0.3, 'did you mean brightness?'),
    ],
)
def test_rejects_invalid_values(key, value, words):
    with pytest.raises(ConfigError) as error:
        load_recipe('demo', [(key, value)])
    assert f'{key}: ' in str(error.value)
    assert words in str(error.value)
