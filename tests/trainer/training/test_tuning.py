"""Hyperparameter search: search space, best trial and failed trials."""

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


@pytest.mark.parametrize('algorithm', ['random', pytest.param('bayesian', marks=pytest.mark.slow)])
def test_search_returns_the_best_trial(tmp_path, small_job, monkeypatch, algorithm):
    space = {'feature_extraction.learning_rate': [1e-9, 1e-2]}
    tuner = TunerConfig(trials=2, algorithm=algorithm, space=space)
    search = RecipeTuner(small_job(), tuner, tmp_path)

    def train(config):
        loss = 0.7 if config.feature_extraction.learning_rate == 1e-9 else 0.1
        return [StageHistory('stage', {'val_loss': (loss,), 'val_accuracy': (0.5,)}, None, 0)]

    monkeypatch.setattr(search, '_train', train)
    search.search(verbose=0)
    best = search.get_best_hyperparameters()[0].values
    assert best == {'feature_extraction.learning_rate': 1e-2}
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


def test_failed_trial_ends_the_search(tmp_path, small_job, monkeypatch):
    tuner = RecipeTuner(small_job(), TunerConfig(trials=2, space={'batch_size': [8]}), tmp_path)
    monkeypatch.setattr(tuner, '_train', lambda *_: 1 / 0)
    with pytest.raises(keras_tuner.errors.FatalRuntimeError, match='trial 1: division by zero'):
        tuner.search(verbose=0)


def test_search_fails_if_all_losses_are_nan(tmp_path, small_job, monkeypatch):
    tuner = RecipeTuner(small_job(), TunerConfig(trials=1, space={'batch_size': [8]}), tmp_path)
    nan = float('nan')
    history = StageHistory('stage', {'val_loss': (nan,), 'val_accuracy': (0.5,)}, None, 0)
    monkeypatch.setattr(tuner, '_train', lambda *_: [history])
    with pytest.raises(RuntimeError, match='NaN; lower the learning rates'):
        tuner.search(verbose=0)
    metrics = {'val_loss': (nan, 0.5, 0.3), 'val_accuracy': (0.5, 0.7, 0.8)}
    other = StageHistory('stage', metrics, None, 0)
    assert best_metrics([history, other]) == {'val_loss': 0.3, 'val_accuracy': 0.8}
