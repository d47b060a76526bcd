"""How to train: the `trainer:` part of a recipe. Imports neither TensorFlow nor TFX."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

IMAGENET_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)


class StrictModel(BaseModel):
    """Base of every part of a recipe: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)


class HeadConfig(StrictModel):
    """Head on the backbone: global average pooling, dropout, dense."""

    dropout: float = Field(0.2, ge=0, lt=1, description='share of pooled features dropped')


class StageConfig(StrictModel):
    """One stage of training. Rates are per step; the schedule spans the whole stage."""

    epochs: int = Field(10, ge=0)
    optimizer: Literal['adam', 'rmsprop', 'sgd'] = 'adam'
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal['constant', 'cosine'] = 'constant'
    warmup: float = Field(0.0, ge=0, lt=1, description='share of the steps that warm up')
    weight_decay: float = Field(0.0, ge=0, description='per step, apart from the gradient')
    patience: int = Field(0, ge=0, description='epochs without a better val_loss; 0: never stop')


class FineTuneConfig(StageConfig):
    """Stage 2: the backbone from `from_layer` on is trained too."""

    epochs: int = Field(0, ge=0)
    learning_rate: float = Field(1e-4, gt=0)
    from_layer: int | str = Field(100, description='number or name of a layer of the backbone')
    batch_norm: Literal['inference', 'train'] = Field(
        'inference', description='inference: moving statistics stay as they are'
    )


class AugmentConfig(StrictModel):
    """Random changes of training images. `views` copies of each image are drawn once."""

    flip: bool = False
    rotation: float = Field(0.0, ge=0, le=0.5, description='largest turn, as share of a full one')
    zoom: float = Field(0.0, ge=0, lt=1, description='largest change of scale')
    views: int = Field(1, ge=1, description='views per image kept in the activation cache')

    @property
    def active(self) -> bool:
        return self.flip or self.rotation > 0 or self.zoom > 0


class TrainConfig(StrictModel):
    """Everything that the Trainer needs to know besides where its data is."""

    image_size: int = Field(160, ge=32, le=512, description='pixels, height and width')
    alpha: Literal[IMAGENET_ALPHAS] = Field(1.0, description='width multiplier')  # type: ignore[valid-type]
    weights: str = Field('imagenet', description="'imagenet', 'random' or the path of a file")
    batch_size: int = Field(32, ge=1)
    seed: int = Field(0, ge=0, lt=2**20)
    head: HeadConfig = HeadConfig()
    feature_extraction: StageConfig = StageConfig()
    fine_tune: FineTuneConfig = FineTuneConfig()
    augment: AugmentConfig = AugmentConfig()

    @field_validator('alpha', mode='before')
    @classmethod
    def _alpha_is_float(cls, value: object) -> object:
        return float(value) if isinstance(value, int) else value

    @model_validator(mode='after')
    def _something_is_trained(self) -> 'TrainConfig':
        if self.feature_extraction.epochs + self.fine_tune.epochs == 0:
            raise ValueError(
                'feature_extraction.epochs and fine_tune.epochs are both 0: nothing is trained'
            )
        return self
