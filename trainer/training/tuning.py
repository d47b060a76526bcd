"""A search for hyperparameters with KerasTuner: many trainings on one activation cache."""

import functools
import logging
import math
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from trainer.config.train import TrainConfig
from trainer.config.tuner import RangeConfig, TunerConfig, in_words
from trainer.model.head import build_head
from trainer.training import devices
from trainer.training.job import Job
from trainer.training.stage_history import StageHistory
from trainer.training.stages import Network, train
from trainer.training.timing import Timings

_log = logging.getLogger(__name__)

_ORACLES = {
    'random': keras_tuner.oracles.RandomSearchOracle,
    'bayesian': keras_tuner.oracles.BayesianOptimizationOracle,
}


class RecipeTuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Tries values of a recipe's keys; each trial is a whole training, stages and all.

    The frozen part of the network runs once for all trials.
    """

    def __init__(self, job: Job, tuner: TunerConfig, directory: Path) -> None:
        """Caches and results of the trials go to `directory`."""
        self._job = job
        self._config = tuner
        self._folder = directory
        oracle = _ORACLES[tuner.algorithm](
            objective=keras_tuner.Objective(
                tuner.objective, 'max' if tuner.objective == 'val_accuracy' else 'min'
            ),
            max_trials=tuner.trials,
            seed=job.config.seed,
            hyperparameters=search_space(tuner, job.config),
            tune_new_entries=False,
            allow_new_entries=False,
        )
        super().__init__(oracle, directory=str(directory), project_name='trials')

    def search(self, *arguments: Any, **options: Any) -> None:
        """Runs all trials; the cache is there while they run."""
        with devices.make_strategy().scope(), devices.precision_on_cpu(self._job.config):
            self._network, _ = self._job.start()
            self._start = self._network.backbone.whole.get_weights()
            self._start_of_head = self._network.head.get_weights()  # a warm one, maybe
            with self._job.stage_data(self._network, self._folder) as self._stage_data:
                super().search(*arguments, **options)
        trials = self.oracle.get_best_trials(self._config.trials)
        if not trials:
            raise RuntimeError('the loss of every trial is not a number; lower the rates')
        best = trials[0]
        _log.info(
            'best of %s trials: %s, %s %.4f',
            len(trials),
            in_words(best.hyperparameters.values),
            self._config.objective,
            best.score,
        )

    def run_trial(self, trial: Any, **_: Any) -> dict[str, float]:
        """One training with the trial's values, from the same start as all others.

        Raises:
            keras_tuner.errors.FatalRuntimeError: the training failed; KerasTuner would hide it.
        """
        values = trial.hyperparameters.values
        number = int(trial.trial_id) + 1
        _log.info('trial %s/%s: %s', number, self._config.trials, in_words(values))
        try:
            histories = self._train(self._job.config.replaced(values), int(trial.trial_id))
        except Exception as error:
            raise keras_tuner.errors.FatalRuntimeError(f'trial {number}: {error}') from error
        return best_metrics(histories)

    def _train(self, config: TrainConfig, number: int) -> list[StageHistory]:
        backbone = self._network.backbone
        backbone.whole.set_weights(self._start)
        keras.utils.set_random_seed(config.seed)
        head = build_head(config, backbone.whole.output_shape[-1], len(self._job.classes))
        head.set_weights(self._start_of_head)
        network = Network(backbone, head, self._network.half_precision)
        logs = self._folder / 'logs' / str(number)
        return train(config, network, self._stage_data, logs, Timings())


def search_space(tuner: TunerConfig, config: TrainConfig) -> keras_tuner.HyperParameters:
    """The keys of a recipe as KerasTuner knows them; the recipe's own values are the defaults."""
    space = keras_tuner.HyperParameters()
    for key, choices in tuner.space.items():
        if not isinstance(choices, RangeConfig):
            # As the recipe has them: YAML reads 1e-4 as a word, and KerasTuner wants one type.
            space.Choice(key, [_value(config.replaced({key: each}), key) for each in choices])
        elif isinstance(_value(config, key), int):
            space.Int(key, int(choices.low), int(choices.high), sampling=_sampling(choices))
        else:
            space.Float(key, choices.low, choices.high, sampling=_sampling(choices))
    return space


def best_metrics(histories: list[StageHistory]) -> dict[str, float]:
    """Validation loss and accuracy of the epoch whose weights a training keeps.

    Raises:
        keras_tuner.errors.FailedTrialError: no epoch has a loss that is a number.
    """
    epochs = [
        (loss, accuracy)
        for history in histories
        for loss, accuracy in zip(
            history.metrics['val_loss'], history.metrics['val_accuracy'], strict=True
        )
    ]
    numbers = [each for each in epochs if not math.isnan(each[0])]
    if not numbers:
        raise keras_tuner.errors.FailedTrialError('the loss is not a number')
    loss, accuracy = min(numbers)
    return {'val_loss': loss, 'val_accuracy': accuracy}


def _sampling(choices: RangeConfig) -> str:
    return 'log' if choices.log else 'linear'


def _value(config: TrainConfig, key: str) -> Any:
    return functools.reduce(getattr, key.split('.'), config)
