"""The `retrain:` section of a recipe. Imports neither TensorFlow nor TFX."""

from pydantic import Field

from common.strict_model import StrictModel, Variable


class RetrainConfig(StrictModel):
    """When a scheduled tick trains, and how it retries a failed run."""

    min_new_images: int = Field(
        1, ge=1, description='with fewer new images no run starts, unless max_age_days is exceeded'
    )
    max_age_days: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description='train, even without new images, when the live model is older and the last '
        'evaluation of a candidate is too; none: never',
    )
    max_attempts: int = Field(
        3,
        ge=1,
        le=1000,
        description='attempts of a tick whose run fails, or while ML Metadata is unreachable',
    )
    backoff_seconds: float = Field(
        60,
        ge=0,
        le=86_400,
        description='pause before the second attempt; doubles with each further one',
    )
    webhook_env: Variable | None = Field(
        None,
        description='environment variable with the URL that the results of ticks are posted to; '
        'such URLs are secrets, so a recipe does not hold one',
    )
