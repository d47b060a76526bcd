"""Configuration of pushes: `push:` of a recipe."""

from pydantic import Field

from common.strict_model import StrictModel


class PushConfig(StrictModel):
    """Retention of versions in the serving directory."""

    keep: int = Field(5, ge=1, description='versions to keep; a push removes older ones')
