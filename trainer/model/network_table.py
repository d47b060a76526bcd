"""Table of the network for the report page. Imports neither TensorFlow nor TFX."""

from common.strict_model import StrictModel


class NetworkPart(StrictModel):
    """Consecutive layers of a network: one size of feature maps, or the head."""

    size: int | None  # height and width of the feature maps in pixels; None for the head
    channels: int  # of the last layer
    layers: int  # convolutions or dense layers
    parameters: int  # with those of batch norm
    trained: int  # parameters of the layers that the recipe trains
