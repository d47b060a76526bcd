"""Hyperparameter search with KerasTuner; all trials share one activation cache."""

import dataclasses
import functools
import logging
import math
import tempfile
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

from common.features import ACTIVATIONS
from trainer.config.train import TrainConfig
from trainer.config.tuner import RangeConfig, TunerConfig, combinations, format_values
from trainer.model.network import build_head
from trainer.training import devices
from trainer.training.job import Job, Timings
from trainer.training.stage_history import StageHistory
from trainer.training.stages import train

_log = logging.getLogger(__name__)


class RecipeTuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Searches values for keys of the recipe; each trial trains all stages."""

    def __init__(self, job: Job, tuner: TunerConfig, directory: Path) -> None:
        """Keeps the activation cache and the results of the trials in `directory`."""
        self._job, self._config, self._folder = job, tuner, directory
        oracles = keras_tuner.oracles
        bayesian = tuner.algorithm == 'bayesian'
        make = oracles.BayesianOptimizationOracle if bayesian else oracles.RandomSearchOracle
        direction = 'min' if tuner.objective == 'val_loss' else 'max'
        oracle = make(
            objective=keras_tuner.Objective(tuner.objective, direction),
            max_trials=tuner.trials,
            seed=job.config.seed,
            hyperparameters=search_space(tuner, job.config),
            tune_new_entries=False,
            allow_new_entries=False,
        )
        super().__init__(oracle, directory=str(directory), project_name='trials')

    def search(self, *arguments: Any, **options: Any) -> None:
        """Runs all trials; raises RuntimeError if the loss of every trial is NaN."""
        with devices.make_strategy().scope(), devices.precision_on_cpu(self._job.config):
            self._network, _ = self._job.start()
            self._backbone_weights = self._network.backbone.model.get_weights()
            self._head_weights = self._network.head.get_weights()  # of a warm start, if any
            with tempfile.TemporaryDirectory(prefix=ACTIVATIONS, dir=self._folder) as folder:
                self._inputs = self._job.inputs(self._network, Path(folder))
                super().search(*arguments, **options)
        best = self.oracle.get_best_trials(self._config.trials)
        trials = [trial for trial in best if trial.score is not None]  # not those that failed
        if not trials:
            raise RuntimeError('the loss of every trial is NaN; lower the learning rates')
        values, score = format_values(trials[0].hyperparameters.values), trials[0].score
        _log.info(
            'best of %s trials: %s, %s %.4f', len(trials), values, self._config.objective, score
        )

    def run_trial(self, trial: Any, **_: Any) -> dict[str, float]:
        """Trains with the values of a trial, from the same initial weights as all trials."""
        values = trial.hyperparameters.values
        number = int(trial.trial_id) + 1
        _log.info('trial %s/%s: %s', number, self._config.trials, format_values(values))
        try:
            histories = self._train(self._job.config.replaced(values))
        except Exception as error:  # KerasTuner hides errors of other types
            raise keras_tuner.errors.FatalRuntimeError(f'trial {number}: {error}') from error
        return best_metrics(histories)

    def _train(self, config: TrainConfig) -> list[StageHistory]:
        backbone = self._network.backbone
        backbone.model.set_weights(self._backbone_weights)
        keras.utils.set_random_seed(config.seed)
        head = build_head(config, backbone.model.output_shape[-1], len(self._job.classes))
        head.set_weights(self._head_weights)
        network = dataclasses.replace(self._network, head=head)
        job = dataclasses.replace(self._job, config=config, timings=Timings())
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            return train(job, network, self._inputs, Path(folder)).histories


def search_space(tuner: TunerConfig, config: TrainConfig) -> keras_tuner.HyperParameters:
    """Converts the `space` of a recipe to KerasTuner's hyperparameters."""
    space = keras_tuner.HyperParameters()
    possible = [(values, config.replaced(values)) for values in combinations(tuner.space)]
    for key, choices in tuner.space.items():
        if not isinstance(choices, RangeConfig):
            # Validation gives all values one type, which KerasTuner needs: YAML reads 1e-4 as text.
            values = dict.fromkeys(_value(each, key) for given, each in possible if key in given)
            space.Choice(key, [*values])
            continue
        sampling = 'log' if choices.log else 'linear'
        if isinstance(_value(config, key), int):
            space.Int(key, int(choices.low), int(choices.high), sampling=sampling)
        else:
            space.Float(key, choices.low, choices.high, sampling=sampling)
    return space


def best_metrics(histories: list[StageHistory]) -> dict[str, float]:
    """Returns validation loss and accuracy of the epoch with the lowest validation loss."""
    losses, accuracies = (
        [value for history in histories for value in history.metrics[key]]
        for key in ('val_loss', 'val_accuracy')
    )
    if all(map(math.isnan, losses)):
        raise keras_tuner.errors.FailedTrialError('the validation loss of every epoch is NaN')
    best = np.nanargmin(losses)
    return {'val_loss': losses[best], 'val_accuracy': accuracies[best]}


def _value(config: TrainConfig, key: str) -> Any:
    return functools.reduce(getattr, key.split('.'), config)
