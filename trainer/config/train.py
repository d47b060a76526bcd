"""The `trainer:` key of a recipe: all training settings. Imports neither TensorFlow nor TFX."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
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

EMBEDDED_NETWORK = ('MobileNetV2', 0.35)  # backbone and alpha
NAMED_WEIGHTS = ('embedded', 'imagenet', 'random')  # weights that are no file
COLD, LIVE = 'none', 'live'  # values of `warm_start` that are neither a version nor a file


AUTO = 'auto'  # the Trainer chooses the value
# What it chooses from. The first trained layer is a share of the depth: block_14_expand and
# block_6_expand of MobileNetV2.
SHALLOW = {'from_layer': 0.812, 'epochs': 4, 'learning_rate': 5e-4}
DEEP = {'from_layer': 0.351, 'epochs': 8, 'learning_rate': 5e-4}
DEEP_AND_LONG = {'from_layer': 0.351, 'epochs': 16, 'learning_rate': 1.2e-3}

Resize = Literal['squeeze', 'crop', 'pad']  # how an image becomes square


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
    optimizer: Literal['adam', 'adamw', 'rmsprop', 'sgd'] = Field(
        'adam', description='optimizer of Keras'
    )
    momentum: float = Field(0.9, ge=0, lt=1, description='of `sgd`')
    clip_norm: float | None = Field(
        None, gt=0, description='maximum norm of the gradient of all weights'
    )
    learning_rate: float = Field(1e-3, gt=0, description='highest rate, after the warm-up')
    schedule: Literal['constant', 'cosine', 'plateau'] = Field(
        'constant',
        description='learning rate after the warm-up; cosine: falls to 0; plateau: a tenth after '
        '2 epochs without a better val_loss, without a warm-up',
    )
    warmup: float = Field(0.0, ge=0, lt=1, description='fraction of the steps with linear warm-up')
    weight_decay: float = Field(
        0.0,
        ge=0,
        description='per step, decoupled from the gradient; not of biases and batch norm',
    )
    patience: int = Field(
        0, ge=0, description='epochs without a better val_loss before early stopping; 0: disabled'
    )

    @model_validator(mode='after')
    def _check_optimizer(self) -> 'StageConfig':
        if self.optimizer == 'adamw' and not self.weight_decay:
            raise ValueError('adamw without weight_decay is adam; set weight_decay, as to 0.004')
        if self.schedule == 'plateau' and self.warmup:
            raise ValueError('schedule plateau has no warm-up; set warmup to 0')
        return self


def _layer(value: object) -> object:
    is_share = isinstance(value, float) and 0 < value < 1
    if isinstance(value, bool) or not (is_share or isinstance(value, (int, str))):
        raise ValueError('input should be the number or the name of a layer, or a share below 1')
    return value


_Auto = Annotated[Literal['auto'], Tag('word')]
Epochs = Annotated[
    Annotated[int, Field(ge=0, le=10_000), Tag('int')] | _Auto,
    Discriminator(lambda value: 'word' if value == AUTO else 'int'),
]
Rate = Annotated[
    Annotated[float, Field(gt=0), Tag('float')] | _Auto,
    Discriminator(lambda value: 'word' if value == AUTO else 'float'),
]


class FineTuneConfig(StageConfig):
    """Stage 2, fine-tuning: trains the head and the backbone from `from_layer` on."""

    epochs: Epochs = Field(  # type: ignore[assignment]
        0,
        description='0: no fine-tuning; auto: 4 to 16, as the head alone is seldom or often wrong',
    )
    learning_rate: Rate = Field(  # type: ignore[assignment]
        1e-4, description='highest rate, after the warm-up; auto: that of the depth and length'
    )
    from_layer: Annotated[int | float | str, BeforeValidator(_layer)] = Field(
        0.65,
        description='first trained layer of the backbone: its name, its number, or the share of '
        'the layers before it, 0.65 of MobileNetV2 is layer 100; auto: deep if the head alone is '
        'wrong for more than 5 % of the validation split, mean of classes',
    )
    batch_norm: Literal['inference', 'train'] = Field(
        'inference', description='inference: the moving statistics are frozen'
    )

    @property
    def auto(self) -> tuple[str, ...]:
        """The keys that the Trainer chooses the values of."""
        keys = ('from_layer', 'epochs', 'learning_rate') if self.epochs else ()
        return tuple(key for key in keys if getattr(self, key) == AUTO)


class AugmentConfig(StrictModel):
    """Data augmentation of the training images."""

    flip: bool = Field(False, description='mirror images at random, left to right')
    rotation: float = Field(0.0, ge=0, le=0.5, description='maximum, as a fraction of 360 degrees')
    zoom: float = Field(0.0, ge=0, lt=1, description='maximum relative change of scale')
    translation: float = Field(0.0, ge=0, lt=1, description='maximum shift, in image sizes')
    contrast: float = Field(0.0, ge=0, lt=1, description='maximum relative change of contrast')
    brightness: float = Field(0.0, ge=0, lt=1, description='maximum change, of the value range')
    rand_augment: float = Field(
        0.0, ge=0, le=1, description='strength of RandAugment, of two random changes of a batch'
    )
    cached_views: int = Field(
        3,
        ge=0,
        description='views per image in the activation cache: the plain image and augmented ones, '
        'with `flip` alone only its mirror image; at least 2 with augmentation, or 0: the cache '
        'has pixels, and each epoch draws new views and runs the frozen layers too',
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
    def changes(self) -> dict[str, float]:
        """The changes of pixels, by key, without `cached_views`."""
        return self.model_dump(exclude={'cached_views'})

    @property
    def active(self) -> bool:
        """Whether any augmentation is enabled."""
        return any(self.changes.values())

    @property
    def only_flips(self) -> bool:
        """Whether an image has two views: it and its mirror image."""
        return self.flip and not any(v for key, v in self.changes.items() if key != 'flip')


def _warm_start(value: object) -> object:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    text = COLD if text is None else text
    is_file = isinstance(text, str) and text.endswith('.keras') and ':/' not in text
    if text in (COLD, LIVE) or is_file or (isinstance(text, str) and text.isdecimal()):
        return text
    raise ValueError(
        f'input should be {LIVE}, {COLD}, the number of a version, or a .keras file that '
        '`export --to keras` wrote'
    )


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
    resize: Resize = Field(
        'squeeze',
        description='how an image becomes square, in training, evaluation and serving: crop takes '
        'its centre, pad adds black',
    )
    backbone: str = Field(
        'MobileNetV2', min_length=1, description='name of a network in `keras.applications`'
    )
    alpha: float = Field(1.0, gt=0, le=2, description='width multiplier, of MobileNets')
    model: str | None = Field(
        None,
        pattern=r'^\w+(\.\w+)*:\w+$',
        description='`package.module:function` in place of a backbone: a function of the image '
        'size that returns a Keras model from images in -1..1 to a feature map',
    )
    weights: str = Field(
        'imagenet',
        min_length=1,
        description="'embedded' (MobileNetV2 0.35), 'imagenet', 'random' or the path of a weights "
        "file; for a `model` also 'random', which keeps the weights that it has",
    )
    warm_start: Annotated[str, BeforeValidator(_warm_start)] = Field(
        COLD,
        description='initialise with the weights of the live model (live), of a version, or of a '
        'file that `export --to keras` wrote; none: start from `weights`',
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
        description='divide the logits by a temperature fitted on the validation split; below 1 '
        'only with 20 or more wrong predictions there',
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
    max_cache_gb: float = Field(
        20.0,
        gt=0,
        le=1e6,
        description='size limit of the activation cache, of which later trainings take what they '
        'need again; the oldest files go',
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
        if self.feature_extraction.epochs == self.fine_tune.epochs == 0:
            raise ValueError(
                'feature_extraction.epochs and fine_tune.epochs are both 0: nothing is trained'
            )
        if self.fine_tune.auto and not self.feature_extraction.epochs:
            raise ValueError(
                'fine_tune has auto, which what the head reaches decides, and '
                'feature_extraction.epochs is 0; train the head, or set '
                f'{" and ".join(f"fine_tune.{key}" for key in self.fine_tune.auto)}'
            )
        if self.model and self.weights in ('embedded', 'imagenet'):
            raise ValueError(
                f'weights are {self.weights}, which a model of your own has not; set weights to '
                'random, which keeps those that the function returns, or to a file'
            )
        default = TrainConfig.model_fields  # a dump has every key
        for key in ('backbone', 'alpha') if self.model else ():
            if (value := getattr(self, key)) != default[key].default:
                raise ValueError(f'{key} is {value}, which a model of your own ignores; remove it')
        if self.weights == 'embedded' and (self.backbone, self.alpha) != EMBEDDED_NETWORK:
            name, alpha = EMBEDDED_NETWORK
            raise ValueError(
                f'embedded weights are {name} {alpha}, and the backbone is {self.backbone} '
                f'{self.alpha}; set alpha to {alpha}, or weights to imagenet, random or a file'
            )
        return self

    @property
    def warm_start_file(self) -> Path | None:
        """The file of a warm start; None for a version, and without a warm start."""
        return Path(self.warm_start) if self.warm_start.endswith('.keras') else None

    @property
    def network(self) -> str:
        """Names the network, as in `MobileNetV2 0.35 at 96 pixels`."""
        width = '' if self.alpha == 1 else f' {self.alpha}'
        return f'{self.model or self.backbone + width} at {self.image_size} pixels'

    def replaced(self, values: dict[str, Any]) -> 'TrainConfig':
        """Returns a validated copy with other values at dotted keys, such as 'head.dropout'."""
        changed = self.model_dump()
        for dotted, value in values.items():
            *parents, last = dotted.split('.')
            functools.reduce(dict.__getitem__, parents, changed)[last] = value
        return TrainConfig.model_validate(changed)

    def without_auto(self, values: Mapping[str, float]) -> 'TrainConfig':
        """Returns a copy with these values in place of `auto`, by key of `fine_tune`."""
        return self.replaced({f'fine_tune.{key}': values[key] for key in self.fine_tune.auto})


def describe_warm_start(value: str) -> str:
    """Names the model of a warm start, as in `version 3`."""
    if value == LIVE:
        return 'the live model'
    return f'version {value}' if value.isdecimal() else value


def check_class_weights(config: TrainConfig, classes: Sequence[str]) -> None:
    """Raises ConfigError if `class_weights` by name does not cover exactly the classes."""
    weights = config.class_weights
    if isinstance(weights, dict) and set(weights) != set(classes):
        raise ConfigError(
            f'trainer.class_weights names {", ".join(weights) or "no class"}, but the data has '
            f'the classes {", ".join(classes)}; give one weight for each of them'
        )
