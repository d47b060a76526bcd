"""When to train again: the `retrain:` part of a recipe. Imports neither TensorFlow nor TFX."""

from pydantic import Field

from common.strict_model import StrictModel


class RetrainConfig(StrictModel):
    """What a tick of the schedule looks for, and what it does when a run fails."""

    min_new_images: int = Field(
        1,
        ge=1,
        description='fewer new images wait for more, unless they drifted or max_age_days is over',
    )
    max_age_days: float | None = Field(
        None,
        gt=0,
        description='train again, with few new images or none, when the live model is '
        'older, and no candidate was evaluated for as long; none: never',
    )
    drift_threshold: float | None = Field(
        None,
        gt=0,
        description='how far the class balance (share), the brightness (0 to 1) or the '
        'size (share) of the newest span may be from what the live model was trained on; '
        'none: not measured',
    )
    attempts: int = Field(
        3, ge=1, description='how often a run, or a decision without metadata, is begun in one tick'
    )
    backoff_seconds: float = Field(
        60, ge=0, description='before the second attempt; doubles with each one'
    )
    webhook_env: str | None = Field(
        None,
        pattern=r'^[A-Za-z_][A-Za-z0-9_]*$',
        description='the environment variable with the '
        'URL that is told how a tick ended; such URLs hold secrets, so none stands in a recipe',
    )
    warm_start: bool = Field(
        True, description='continue from the last blessed model; off: as trainer.warm_start says'
    )
