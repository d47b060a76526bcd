"""Hyperparameter search with KerasTuner; all trials share one activation cache."""

import dataclasses
import functools
import logging
import math
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from trainer.config.train import TrainConfig
from trainer.config.tuner import RangeConfig, TunerConfig, format_values
from trainer.model.head import build_head
from trainer.training import devices
from trainer.training.job import Job
from trainer.training.stage_history import StageHistory
from trainer.training.stages import train
from trainer.training.timing import Timings

_log = logging.getLogger(__name__)

_ORACLES = {
    'random': keras_tuner.oracles.RandomSearchOracle,
    'bayesian': keras_tuner.oracles.BayesianOptimizationOracle,
}


class RecipeTuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Searches values for keys of the recipe; each trial trains all stages.

    The frozen part of the network runs once, for all trials.
    """

    def __init__(self, job: Job, tuner: TunerConfig, directory: Path) -> None:
        """Keeps the activation cache and the results of the trials in `directory`."""
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
        """Runs all trials; deletes the activation cache afterwards.

        Raises:
            RuntimeError: the loss of every trial is NaN.
        """
        with devices.make_strategy().scope(), devices.precision_on_cpu(self._job.config):
            self._network, _ = self._job.start()
            self._backbone_weights = self._network.backbone.model.get_weights()
            self._head_weights = self._network.head.get_weights()  # of a warm start, if any
            with self._job.stage_data(self._network, self._folder) as self._stage_data:
                super().search(*arguments, **options)
        trials = self.oracle.get_best_trials(self._config.trials)
        if not trials:
            raise RuntimeError('the loss of every trial is NaN; lower the learning rates')
        best = trials[0]
        _log.info(
            'best of %s trials: %s, %s %.4f',
            len(trials),
            format_values(best.hyperparameters.values),
            self._config.objective,
            best.score,
        )

    def run_trial(self, trial: Any, **_: Any) -> dict[str, float]:
        """Trains with the values of a trial, from the same initial weights as all trials.

        Raises:
            keras_tuner.errors.FatalRuntimeError: the training failed; KerasTuner hides
                errors of other types.
        """
        values = trial.hyperparameters.values
        number = int(trial.trial_id) + 1
        _log.info('trial %s/%s: %s', number, self._config.trials, format_values(values))
        try:
            histories = self._train(self._job.config.replaced(values), int(trial.trial_id))
        except Exception as error:
            raise keras_tuner.errors.FatalRuntimeError(f'trial {number}: {error}') from error
        return best_metrics(histories)

    def _train(self, config: TrainConfig, trial: int) -> list[StageHistory]:
        backbone = self._network.backbone
        backbone.model.set_weights(self._backbone_weights)
        keras.utils.set_random_seed(config.seed)
        head = build_head(config, backbone.model.output_shape[-1], len(self._job.classes))
        head.set_weights(self._head_weights)
        network = dataclasses.replace(self._network, head=head)
        logs = self._folder / 'logs' / str(trial)
        return train(config, network, self._stage_data, logs, Timings())


def search_space(tuner: TunerConfig, config: TrainConfig) -> keras_tuner.HyperParameters:
    """Converts the `space` of a recipe to KerasTuner's hyperparameters."""
    space = keras_tuner.HyperParameters()
    for key, choices in tuner.space.items():
        if not isinstance(choices, RangeConfig):
            # Validation gives all values one type, which KerasTuner needs: YAML reads 1e-4 as text.
            space.Choice(key, [_value(config.replaced({key: each}), key) for each in choices])
            continue
        sampling = 'log' if choices.log else 'linear'
        if isinstance(_value(config, key), int):
            space.Int(key, int(choices.low), int(choices.high), sampling=sampling)
        else:
            space.Float(key, choices.low, choices.high, sampling=sampling)
    return space


def best_metrics(histories: list[StageHistory]) -> dict[str, float]:
    """Returns validation loss and accuracy of the epoch with the lowest validation loss.

    Raises:
        keras_tuner.errors.FailedTrialError: the loss of every epoch is NaN.
    """
    epochs = [
        (loss, accuracy)
        for history in histories
        for loss, accuracy in zip(
            history.metrics['val_loss'], history.metrics['val_accuracy'], strict=True
        )
        if not math.isnan(loss)
    ]
    if not epochs:
        raise keras_tuner.errors.FailedTrialError('the validation loss of every epoch is NaN')
    loss, accuracy = min(epochs)
    return {'val_loss': loss, 'val_accuracy': accuracy}


def _value(config: TrainConfig, key: str) -> Any:
    return functools.reduce(getattr, key.split('.'), config)
