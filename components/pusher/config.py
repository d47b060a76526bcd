"""How models are pushed: the `push:` part of a recipe. Imports no TensorFlow and no TFX."""

from pydantic import Field

from common.strict_model import StrictModel


class PushConfig(StrictModel):
    """What is kept where a model server looks."""

    keep: int = Field(5, ge=1, description='versions; older ones are removed after a push')
