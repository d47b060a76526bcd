"""Base class of recipes and of results stored as JSON."""

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """Frozen pydantic model that rejects unknown keys, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)
