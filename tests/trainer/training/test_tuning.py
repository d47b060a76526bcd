"""Hyperparameter search: search space, best trial and failed trials."""

import math

import keras_tuner
import pytest

from trainer.config.train import TrainConfig
from trainer.config.tuner import TunerConfig
from trainer.training.stage_history import StageHistory
from trainer.training.tuning import RecipeTuner, best_metrics, search_space


def test_samples_are_valid_values_of_the_recipe():
    """YAML reads 1e-4 as text and 0 as an integer."""
    space = {
        'head.dropout': {'low': 0.0, 'high': 0.5},
        'batch_size': {'low': 4, 'high': 16},
        'feature_extraction.learning_rate': {'low': 1e-4, 'high': 1e-1, 'log': True},
        'fine_tune.learning_rate': ['1e-4', 0.001],
        'feature_extraction.optimizer': ['adam', 'adamw'],
        'feature_extraction.weight_decay': [0.01],
    }
    parameters = search_space(TunerConfig(space=space), TrainConfig()).space
    for parameter in parameters:
        for value in (parameter.random_sample(seed) for seed in range(20)):
            decay = {'feature_extraction.weight_decay': 0.01}
            TrainConfig().replaced({**decay, parameter.name: value})
    kinds = [type(parameter).__name__ for parameter in parameters]
    assert kinds == ['Float', 'Int', 'Float', *['Choice'] * 3]
    assert [each.values for each in parameters[3:]] == [[1e-4, 1e-3], ['adam', 'adamw'], [0.01]]


def history_of(*losses):
    metrics = {'val_loss': losses, 'val_accuracy': tuple(1 - loss for loss in losses)}
    return [StageHistory('stage', metrics, None, 0)]


@pytest.mark.parametrize('algorithm', ['random', pytest.param('bayesian', marks=pytest.mark.slow)])
def test_search_returns_the_best_trial(tmp_path, small_job, monkeypatch, algorithm):
    losses, key = {1e-9: 0.7, 1e-2: 0.1}, 'feature_extraction.learning_rate'
    tuner = TunerConfig(trials=2, algorithm=algorithm, space={key: [*losses]})
    search = RecipeTuner(small_job(), tuner, tmp_path)
    monkeypatch.setattr(
        search,
        '_train',
        lambda config: history_of(losses[config.feature_extraction.learning_rate]),
    )
    search.search(verbose=0)
    assert search.get_best_hyperparameters()[0].values == {key: 1e-2}
    assert len(search.oracle.get_best_trials(5)) == 2


@pytest.mark.slow
def test_trials_start_from_equal_weights(tmp_path, small_job):
    tuner = TunerConfig(trials=1, space={'feature_extraction.learning_rate': [1e-2]})
    search = RecipeTuner(small_job(feature_extraction={'epochs': 4}), tuner, tmp_path)
    losses = []

    def twice(trial, **_):
        metrics = [RecipeTuner.run_trial(search, trial) for _ in range(2)]
        losses.extend(each['val_loss'] for each in metrics)
        return metrics[0]

    search.run_trial = twice
    search.search(verbose=0)
    first, second = losses
    assert second == pytest.approx(first, rel=1e-3)
    assert first < 0.6  # it has learnt
    assert not list(tmp_path.rglob('activations*'))


@pytest.mark.parametrize(
    ('train', 'error', 'message'),
    [
        (lambda _: 1 / 0, keras_tuner.errors.FatalRuntimeError, 'trial 1: division by zero'),
        (lambda _: history_of(math.nan), RuntimeError, 'NaN; lower the learning rates'),
    ],
)
def test_failed_trial_or_only_losses_of_nan_end_the_search(
    tmp_path, small_job, monkeypatch, train, error, message
):
    tuner = RecipeTuner(small_job(), TunerConfig(trials=2, space={'batch_size': [8]}), tmp_path)
    monkeypatch.setattr(tuner, '_train', train)
    with pytest.raises(error, match=message):
        tuner.search(verbose=0)


def test_metrics_of_a_trial_are_those_of_its_best_epoch():
    histories = history_of(math.nan) + history_of(math.nan, 0.5, 0.25)
    assert best_metrics(histories) == {'val_loss': 0.25, 'val_accuracy': 0.75}
