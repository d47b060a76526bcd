"""Hyperparameter search: search space, best trial and failed trials."""

import keras_tuner
import pytest

from trainer.config.train import TrainConfig
from trainer.config.tuner import TunerConfig
from trainer.training.stage_history import StageHistory
from trainer.training.tuning import RecipeTuner, best_metrics, search_space

SPACE = {
    'head.dropout': {'low': 0.0, 'high': 0.5},
    'batch_size': {'low': 4, 'high': 16},
    'feature_extraction.learning_rate': {'low': 1e-4, 'high': 1e-1, 'log': True},
    'feature_extraction.optimizer': ['adam', 'sgd'],
}


def test_samples_are_valid_values_of_the_recipe():
    space = search_space(TunerConfig(space=SPACE), TrainConfig())
    for parameter in space.space:
        for value in (parameter.random_sample(seed) for seed in range(20)):
            TrainConfig().replaced({parameter.name: value})
    kinds = {parameter.name: type(parameter).__name__ for parameter in space.space}
    assert kinds['batch_size'] == 'Int'
    assert kinds['head.dropout'] == 'Float'


@pytest.mark.parametrize(
    ('algorithm', 'jobs'), [('random', 'small_job'), ('bayesian', 'job_of_three')]
)
def test_search_returns_the_best_trial(tmp_path, request, algorithm, jobs):
    space = {'feature_extraction.learning_rate': [1e-9, 1e-2]}  # 1e-9 learns nothing
    tuner = TunerConfig(trials=2, algorithm=algorithm, space=space)
    make_job = request.getfixturevalue(jobs)
    job = make_job(fine_tune={'epochs': 0}, feature_extraction={'epochs': 4})
    search = RecipeTuner(job, tuner, tmp_path)
    search.search(verbose=0)
    best = search.get_best_hyperparameters()[0].values
    assert best == {'feature_extraction.learning_rate': 1e-2}
    assert len(search.oracle.get_best_trials(5)) == 2
    assert not list(tmp_path.rglob('*.records'))


def test_converts_choices_to_the_type_of_the_key():
    """YAML reads 1e-4 as text and 0 as an integer."""
    choices = {'feature_extraction.learning_rate': ['1e-4', 0.001], 'head.dropout': [0, 0.2]}
    space = search_space(TunerConfig(space=choices), TrainConfig())
    assert [parameter.values for parameter in space.space] == [[1e-4, 1e-3], [0.0, 0.2]]


def test_trials_start_from_the_same_weights(tmp_path, small_job):
    """Trials with equal values have equal results, fine-tuning included."""
    tuner = TunerConfig(trials=2, space={'batch_size': [8], 'head.dropout': [0.2]})
    search = RecipeTuner(small_job(), tuner, tmp_path)
    scores = []

    def twice(trial):
        first = RecipeTuner.run_trial(search, trial)
        scores.extend([first['val_loss'], RecipeTuner.run_trial(search, trial)['val_loss']])
        return first

    search.run_trial = twice
    search.search()
    assert scores[1] == pytest.approx(scores[0], rel=1e-3)


def test_failed_trial_ends_the_search(tmp_path, small_job, monkeypatch):
    tuner = RecipeTuner(small_job(), TunerConfig(trials=2, space={'batch_size': [8]}), tmp_path)
    monkeypatch.setattr(tuner, '_train', lambda *_: 1 / 0)
    with pytest.raises(keras_tuner.errors.FatalRuntimeError, match='trial 1: division by zero'):
        tuner.search(verbose=0)


def test_trial_is_scored_by_its_best_epoch():
    def history(losses, accuracies):
        metrics = {'val_loss': losses, 'val_accuracy': accuracies}
        return StageHistory('stage', metrics, None, 0)

    nan = float('nan')
    histories = [history((nan, 0.5, 0.3), (0.5, 0.7, 0.8)), history((0.4,), (0.9,))]
    assert best_metrics(histories) == {'val_loss': 0.3, 'val_accuracy': 0.8}
    with pytest.raises(keras_tuner.errors.FailedTrialError, match='NaN'):
        best_metrics([history((nan,), (0.5,))])
