"""Configuration of the serving check: `serving_check:` of a recipe."""

from pydantic import Field

from common.strict_model import StrictModel


class ServingCheckConfig(StrictModel):
    """Limits of ServingCheck."""

    seconds: int = Field(300, ge=1, le=86_400, description='timeout of the serving check')
