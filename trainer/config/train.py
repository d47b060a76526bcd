"""The `trainer:` key of a recipe: all training settings. Imports neither TensorFlow nor TFX."""

import functools
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PositiveFloat,
    Tag,
    field_validator,
    model_validator,
)

from common.errors import ConfigError
from common.strict_model import StrictModel

IMAGENET_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
EMBEDDED_ALPHA = 0.35
NAMED_WEIGHTS = ('embedded', 'imagenet', 'random')  # weights that are no file


class HeadConfig(StrictModel):
    """Classification head: global average pooling, dropout, dense layers and the logits."""

    hidden: tuple[Annotated[int, Field(ge=1, le=2**16)], ...] = Field(
        (), description='units of dense layers with ReLU'
    )
    dropout: float = Field(0.2, ge=0, lt=1, description='dropout rate before each dense layer')
    l2: float = Field(0.0, ge=0, description='L2 penalty on the weights of the dense layers')


class StageConfig(StrictModel):
    """One training stage. Rates are per step; the schedule covers all epochs of the stage."""

    epochs: int = Field(10, ge=0, le=10_000, description='0: the stage is left out')
    optimizer: Literal['adam', 'rmsprop', 'sgd'] = Field(
        'adam', description='update rule of the weights'
    )
    learning_rate: float = Field(1e-3, gt=0, description='highest rate, after the warm-up')
    schedule: Literal['constant', 'cosine'] = Field(
        'constant', description='learning rate after the warm-up; cosine: falls to 0'
    )
    warmup: float = Field(0.0, ge=0, lt=1, description='fraction of the steps with linear warm-up')
    weight_decay: float = Field(0.0, ge=0, description='per step, decoupled from the gradient')
    patience: int = Field(
        0, ge=0, description='epochs without a better val_loss before early stopping; 0: disabled'
    )


def _number_or_name(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError('input should be the number or the name of a layer')
    return value


class FineTuneConfig(StageConfig):
    """Stage 2, fine-tuning: trains the head and the backbone from `from_layer` on."""

    epochs: int = Field(0, ge=0, le=10_000, description='0: no fine-tuning')
    learning_rate: float = Field(1e-4, gt=0, description='highest rate, after the warm-up')
    from_layer: Annotated[int | str, BeforeValidator(_number_or_name)] = Field(
        100, description='index or name of the first trained layer of the backbone'
    )
    batch_norm: Literal['inference', 'train'] = Field(
        'inference', description='inference: the moving statistics are frozen'
    )


class AugmentConfig(StrictModel):
    """Data augmentation of the training images."""

    flip: bool = Field(False, description='mirror images at random, left to right')
    rotation: float = Field(0.0, ge=0, le=0.5, description='maximum, as a fraction of 360 degrees')
    zoom: float = Field(0.0, ge=0, lt=1, description='maximum relative change of scale')
    cached_views: int = Field(
        3,
        ge=0,
        description='views per image in the activation cache: the plain image and augmented ones, '
        'with `flip` alone only its mirror image; at least 2 with augmentation, or 0: new views in '
        'each epoch, which then runs the frozen layers too',
    )

    @model_validator(mode='after')
    def _check_views(self) -> 'AugmentConfig':
        if self.active and self.cached_views == 1:
            raise ValueError(
                'cached_views is 1, which is the plain image; use 2 or more, or 0 for new views in '
                'each epoch'
            )
        return self

    @property
    def active(self) -> bool:
        """Whether any augmentation that changes pixels is enabled."""
        return self.flip or self.changes_geometry

    @property
    def changes_geometry(self) -> bool:
        """Whether images are rotated or zoomed; else augmentation has two views, both exact."""
        return self.rotation > 0 or self.zoom > 0


def _tag_class_weights(value: object) -> str | None:
    if value == 'balanced':
        return 'word'
    named = isinstance(value, dict) and all(isinstance(name, str) for name in value)
    return 'named' if named else None


ClassWeights = Annotated[
    Annotated[Literal['balanced'], Tag('word')] | Annotated[dict[str, PositiveFloat], Tag('named')],
    Discriminator(
        _tag_class_weights,
        custom_error_type='class_weights',
        custom_error_message="input should be 'balanced' or a weight for each class "
        '(in quotes if it is yes, no or a number) by its name',
    ),
]


class TrainConfig(StrictModel):
    """All settings of the Trainer except the location of its data."""

    image_size: int = Field(160, ge=32, le=512, description='pixels, height and width')
    alpha: Literal[IMAGENET_ALPHAS] = Field(1.0, description='width multiplier')  # type: ignore[valid-type]
    weights: str = Field(
        'imagenet',
        min_length=1,
        description="'embedded', 'imagenet', 'random' or the path of a weights file",
    )
    warm_start: Literal['latest_blessed'] | None = Field(
        None, description='initialise with the weights of the live model'
    )
    batch_size: int = Field(32, ge=1, le=2**16, description='images per training step')
    seed: int = Field(
        0, ge=0, lt=2**20, description='of the random weights, augmentation and order of the images'
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description='share of each label that is spread over all classes'
    )
    class_weights: ClassWeights | None = Field(
        None,
        description="weights in the training and validation loss: 'balanced' or a number for each "
        'class name',
    )
    flip_averaging: bool = Field(
        False,
        description='predict from the mean features of an image and its mirror image, in the '
        'exported graph: doubles the time of a prediction',
    )
    calibrate: bool = Field(
        True,
        description='divide the logits of an overconfident model by a temperature fitted on the '
        'validation split',
    )
    threshold: float = Field(
        0.5,
        gt=0,
        lt=1,
        description='minimum probability, after calibration, to predict the second of two classes',
    )
    precision: Literal['auto', 'float32', 'mixed'] = Field(
        'auto', description='auto: bfloat16 on CPUs that support it; mixed: also float16 on GPUs'
    )
    cache: bool = Field(
        True, description='off: every epoch decodes all images and runs the complete network'
    )
    max_cache_gb: float = Field(
        20.0,
        gt=0,
        le=1e6,
        description='size limit of the activation cache; for images beyond it, each epoch runs the '
        'frozen layers again, with the same result',
    )
    head: HeadConfig = HeadConfig()
    feature_extraction: StageConfig = StageConfig()
    fine_tune: FineTuneConfig = FineTuneConfig()
    augment: AugmentConfig = AugmentConfig()

    @field_validator('weights')
    @classmethod
    def _is_no_url(cls, weights: str) -> str:
        if ':/' in weights:
            raise ValueError('is a URL; download the file, and give its path')
        return weights

    @model_validator(mode='after')
    def _check_stages_and_weights(self) -> 'TrainConfig':
        if self.feature_extraction.epochs + self.fine_tune.epochs == 0:
            raise ValueError(
                'feature_extraction.epochs and fine_tune.epochs are both 0: nothing is trained'
            )
        if self.weights == 'embedded' and self.alpha != EMBEDDED_ALPHA:
            raise ValueError(
                f'embedded weights are MobileNetV2 {EMBEDDED_ALPHA}, and alpha is {self.alpha}; '
                f'set alpha to {EMBEDDED_ALPHA}, or weights to imagenet, random or a file'
            )
        return self

    def replaced(self, values: dict[str, Any]) -> 'TrainConfig':
        """Returns a validated copy with other values at dotted keys, such as 'head.dropout'."""
        changed = self.model_dump()
        for dotted, value in values.items():
            *parents, last = dotted.split('.')
            functools.reduce(dict.__getitem__, parents, changed)[last] = value
        return TrainConfig.model_validate(changed)


def check_class_weights(config: TrainConfig, classes: Sequence[str]) -> None:
    """Raises ConfigError if `class_weights` by name does not cover exactly the classes."""
    weights = config.class_weights
    if isinstance(weights, dict) and set(weights) != set(classes):
        raise ConfigError(
            f'trainer.class_weights names {", ".join(weights) or "no class"}, but the data has '
            f'the classes {", ".join(classes)}; give one weight for each of them'
        )
