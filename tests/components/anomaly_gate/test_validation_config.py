import pytest

from common.errors import ConfigError
from components.anomaly_gate.config import DriftLimits, SkewLimits
from components.anomaly_gate.statistics_comparison import feature_of
from pipeline.config.recipe import load_recipe
from pipeline.schema import statistics_options


def test_every_limit_has_a_feature_of_the_schema():
    limits = {*DriftLimits.model_fields, *SkewLimits.model_fields}
    described = {feature.name for feature in statistics_options().schema.feature}

    assert set(map(feature_of, limits)) <= described


@pytest.mark.parametrize(
    ('key', 'value', 'words'),
    [
        ('validation.on_drift', 'ignore', "should be 'warn' or 'stop', got 'ignore'"),
        ('validation.drift.brightness', 30, 'less than or equal to 1, got 30'),
    ],
)
def test_rejects_invalid_values(key, value, words):
    with pytest.raises(ConfigError, match=rf'{key}: .*{words}'):
        load_recipe('demo', [(key, value)])
