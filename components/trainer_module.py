"""Entry points of the Trainer and the Tuner, which give them the choice of the live model.

A training with `auto` in `trainer.fine_tune` takes that choice over. The live model is no input of
the Trainer: a push would then be a reason to train again.
"""

import contextlib

from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from common.artifacts import folder_of
from common.features import FINE_TUNING_FILE
from components.pusher.reference import find_reference
from trainer import run
from trainer.config.tuner import TunerConfig
from trainer.results import FineTuningChoice


def run_fn(fn_args: FnArgs) -> None:
    """`run_fn` of the Trainer; `custom_config` has `serving`, empty without `auto`."""
    run.run_fn(fn_args, read_choice(fn_args.custom_config['serving']))


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """`tuner_fn` of the Tuner; `custom_config` also holds a TunerConfig as a dictionary."""
    from trainer.training.tuning import RecipeTuner  # imports KerasTuner

    directory = folder_of(fn_args.working_dir)
    directory.mkdir(parents=True, exist_ok=True)
    config = TunerConfig.model_validate(fn_args.custom_config['tuner'])
    job = run.make_job(fn_args, read_choice(fn_args.custom_config['serving']))
    return TunerFnResult(RecipeTuner(job, config, directory), {'verbose': 0})


def read_choice(serving: str) -> FineTuningChoice | None:
    """Reads the choice of the live model; None if there is none, or it is damaged.

    Raises ModelError or StorageError if it cannot be told which version is live.
    """
    version = find_reference(folder_of(serving)) if serving else None
    if version:
        with contextlib.suppress(OSError, ValueError):
            text = (version / FINE_TUNING_FILE).read_bytes()
            return FineTuningChoice.model_validate_json(text)
    return None
