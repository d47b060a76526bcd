"""The `retrain:` section of a recipe. Imports neither TensorFlow nor TFX."""

from pydantic import Field

from common.strict_model import StrictModel


class RetrainConfig(StrictModel):
    """Triggers of scheduled retraining, retries and notification."""

    min_new_images: int = Field(
        1,
        ge=1,
        description='with fewer new images, only drift or max_age_days starts a run',
    )
    max_age_days: float | None = Field(
        None,
        gt=0,
        description='retrain with any number of new images if the live model is older and no '
        'candidate was evaluated for as long; default: never',
    )
    drift_threshold: float | None = Field(
        None,
        gt=0,
        description='largest difference between the newest span and the training data of the live '
        'model in class balance (share), brightness (0 to 1) or size (share); default: no check',
    )
    attempts: int = Field(
        3, ge=1, description='per tick, for a run or for a decision without metadata'
    )
    backoff_seconds: float = Field(
        60, ge=0, description='delay before the second attempt; doubles each time'
    )
    webhook_env: str | None = Field(
        None,
        pattern=r'^[A-Za-z_][A-Za-z0-9_]*$',
        description='environment variable with the URL that the result of each tick is posted to; '
        'the URL itself is a secret',
    )
    warm_start: bool = Field(
        True, description='start from the last blessed model; false: follow trainer.warm_start'
    )
