"""How to train: the `trainer:` part of a recipe. Imports neither TensorFlow nor TFX."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    field_validator,
    model_validator,
)

from common.errors import ConfigError
from common.strict_model import StrictModel

IMAGENET_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
EMBEDDED_ALPHA = 0.35


class HeadConfig(StrictModel):
    """Head on the backbone: global average pooling, dropout, dense layers, the logits.

    There is one logit for two classes, and one for each of more.
    """

    hidden: tuple[PositiveInt, ...] = Field((), description='units of dense layers with ReLU')
    dropout: float = Field(0.2, ge=0, lt=1, description='share dropped before each dense layer')
    l2: float = Field(0.0, ge=0, description='L2 penalty on the weights of the dense layers')


class StageConfig(StrictModel):
    """One stage of training. Rates are per step; the schedule spans the whole stage."""

    epochs: int = Field(10, ge=0)
    optimizer: Literal['adam', 'rmsprop', 'sgd'] = 'adam'
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal['constant', 'cosine'] = 'constant'
    warmup: float = Field(0.0, ge=0, lt=1, description='share of the steps that warm up')
    weight_decay: float = Field(0.0, ge=0, description='per step, apart from the gradient')
    patience: int = Field(0, ge=0, description='epochs without a better val_loss; 0: never stop')


def _number_or_name(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError('input should be the number or the name of a layer')
    return value


class FineTuneConfig(StageConfig):
    """Stage 2: the backbone from `from_layer` on is trained too."""

    epochs: int = Field(0, ge=0)
    learning_rate: float = Field(1e-4, gt=0)
    from_layer: Annotated[int | str, BeforeValidator(_number_or_name)] = Field(
        100, description='number or name of a layer of the backbone'
    )
    batch_norm: Literal['inference', 'train'] = Field(
        'inference', description='inference: moving statistics stay as they are'
    )


class AugmentConfig(StrictModel):
    """Random changes of training images. `views` copies of each image are drawn once."""

    flip: bool = False
    rotation: float = Field(0.0, ge=0, le=0.5, description='largest turn, as share of a full one')
    zoom: float = Field(0.0, ge=0, lt=1, description='largest change of scale')
    views: int = Field(3, ge=1, description='views per image kept in the activation cache')
    mixup: float = Field(
        0.0, ge=0, description='pairs are mixed with a share from Beta(mixup, mixup); 0: not'
    )

    @property
    def active(self) -> bool:
        """Whether the pixels of an image change."""
        return self.flip or self.rotation > 0 or self.zoom > 0


ClassWeights = Annotated[
    Annotated[Literal['balanced'], Tag('word')] | Annotated[dict[str, PositiveFloat], Tag('named')],
    Discriminator(lambda value: 'named' if isinstance(value, dict) else 'word'),
]


class TrainConfig(StrictModel):
    """Everything that the Trainer needs to know besides where its data is."""

    image_size: int = Field(160, ge=32, le=512, description='pixels, height and width')
    alpha: Literal[IMAGENET_ALPHAS] = Field(1.0, description='width multiplier')  # type: ignore[valid-type]
    weights: str = Field(
        'imagenet', description="'embedded', 'imagenet', 'random' or the path of a file"
    )
    warm_start: Literal['latest_blessed'] | None = Field(
        None, description='continue from the weights of the model that was blessed last'
    )
    batch_size: int = Field(32, ge=1)
    seed: int = Field(0, ge=0, lt=2**20)
    label_smoothing: float = Field(0.0, ge=0, lt=1, description='share of doubt in each label')
    class_weights: ClassWeights | None = Field(
        None, description="'balanced', or the weight of each class by its name, in the loss"
    )
    threshold: float = Field(
        0.5, gt=0, lt=1, description='probability from which on the second of two classes is said'
    )
    precision: Literal['auto', 'float32', 'mixed'] = Field(
        'auto', description='auto: bfloat16 on a CPU where it pays; mixed: also float16 on a GPU'
    )
    cache: bool = Field(True, description='off: every epoch decodes and runs the whole network')
    cache_gigabytes: float = Field(20.0, gt=0, description='the most that the cache may take')
    head: HeadConfig = HeadConfig()
    feature_extraction: StageConfig = StageConfig()
    fine_tune: FineTuneConfig = FineTuneConfig()
    augment: AugmentConfig = AugmentConfig()

    @field_validator('alpha', mode='before')
    @classmethod
    def _alpha_is_float(cls, value: object) -> object:
        return float(value) if isinstance(value, int) else value

    @field_validator('class_weights', mode='before')
    @classmethod
    def _class_weights_are_one_of_three(cls, value: object) -> object:
        if isinstance(value, dict):
            for name in value:
                if not isinstance(name, str):
                    raise ValueError(
                        f'{name!r} is not the name of a class: YAML reads yes, no, on, off and '
                        'numbers as values; quote it, as in "yes"'
                    )
        if value is None or value == 'balanced' or isinstance(value, dict):
            return value
        raise ValueError("input should be 'balanced' or a weight for each class by its name")

    @model_validator(mode='after')
    def _something_is_trained(self) -> 'TrainConfig':
        if self.feature_extraction.epochs + self.fine_tune.epochs == 0:
            raise ValueError(
                'feature_extraction.epochs and fine_tune.epochs are both 0: nothing is trained'
            )
        return self

    @model_validator(mode='after')
    def _embedded_weights_fit(self) -> 'TrainConfig':
        if self.weights == 'embedded' and self.alpha != EMBEDDED_ALPHA:
            raise ValueError(
                f'embedded weights are MobileNetV2 {EMBEDDED_ALPHA}, and alpha is {self.alpha}; '
                f'set alpha to {EMBEDDED_ALPHA}, or weights to imagenet, random or a file'
            )
        return self

    def replaced(self, values: dict[str, Any]) -> 'TrainConfig':
        """The same with other values at dotted keys, such as 'head.dropout'.

        Raises:
            pydantic.ValidationError: a key does not exist or a value is wrong.
        """
        changed = self.model_dump()
        for dotted, value in values.items():
            *parents, last = dotted.split('.')
            group = changed
            for key in parents:
                group = group[key]
            group[last] = value
        return TrainConfig.model_validate(changed)


def check_class_weights(config: TrainConfig, classes: Sequence[str]) -> None:
    """Checks that weights by name are there for the classes of the data, and for no others.

    Raises:
        ConfigError: they are not.
    """
    weights = config.class_weights
    if isinstance(weights, dict) and set(weights) != set(classes):
        raise ConfigError(
            f'trainer.class_weights names {", ".join(weights) or "no class"}; '
            f'the data has the classes {", ".join(classes)}'
        )
