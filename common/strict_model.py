"""The base of every part of a recipe and of every result that is kept as JSON."""

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """Base of every part of a recipe: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)
