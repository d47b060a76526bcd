"""Entry point of the TFX Tuner. A module of its own, so that the Trainer does not depend on it."""

from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from common.artifacts import folder_of
from trainer.config.tuner import TunerConfig
from trainer.run import make_job


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """`tuner_fn` of the Tuner; `custom_config` also holds a TunerConfig as a dictionary."""
    from trainer.training.tuning import RecipeTuner  # imports KerasTuner

    directory = folder_of(fn_args.working_dir)
    directory.mkdir(parents=True, exist_ok=True)
    config = TunerConfig.model_validate(fn_args.custom_config['tuner'])
    return TunerFnResult(RecipeTuner(make_job(fn_args), config, directory), {'verbose': 0})
