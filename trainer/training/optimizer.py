"""Adam, RMSprop and SGD with one fused TensorFlow operation per variable.

Update rules and defaults are those of Keras. Keras builds each update from ten operations inside a
distribution context. Tracing them for the 160 variables of MobileNetV2 takes 11 seconds, longer
than an epoch on a small data set.
"""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import optimizers

from trainer.config.train import StageConfig

_ADAM = {'beta1': 0.9, 'beta2': 0.999, 'epsilon': 1e-7}
_KERAS = {'adam': optimizers.Adam, 'rmsprop': optimizers.RMSprop, 'sgd': optimizers.SGD}
_RMSPROP = {'rho': 0.9, 'momentum': 0.0, 'epsilon': 1e-7}


class _FusedOptimizer(optimizers.Optimizer):
    """Applies gradients outside a distribution context. RMSprop and SGD have no momentum."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__(**options)
        self._kind = kind

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        slots = 0 if self._kind == 'sgd' else 2
        self._state = [
            [self.add_variable_from_reference(variable, f'slot_{n}') for n in range(slots)]
            for variable in variables
        ]

    def apply(self, grads: Sequence[tf.Tensor], trainable_variables: Any = None) -> None:
        """Updates the variables of `build`; `grads` are in the same order."""
        rate = tf.cast(self.learning_rate, tf.float32)
        step = tf.cast(self.iterations + 1, tf.float32)
        powers = {f'{beta}_power': _ADAM[beta] ** step for beta in ('beta1', 'beta2')}
        for gradient, variable, slots in zip(
            grads, self._trainable_variables, self._state, strict=True
        ):
            if self.weight_decay:
                variable.value.assign_sub(variable.value * (self.weight_decay * rate))
            handle, state = variable.value.handle, [slot.value.handle for slot in slots]
            if self._kind == 'sgd':
                tf.raw_ops.ResourceApplyGradientDescent(var=handle, alpha=rate, delta=gradient)
                continue
            first, second = state
            if self._kind == 'adam':
                tf.raw_ops.ResourceApplyAdam(
                    var=handle, m=first, v=second, lr=rate, grad=gradient, **powers, **_ADAM
                )
            else:
                tf.raw_ops.ResourceApplyRMSProp(
                    var=handle, ms=first, mom=second, lr=rate, grad=gradient, **_RMSPROP
                )
        self.iterations.assign_add(1)


def make_optimizer(
    stage: StageConfig, steps: int, *, half_precision: bool = False
) -> optimizers.Optimizer:
    """Makes the optimizer of a stage, with a learning rate schedule over `steps` steps.

    Uses the Keras optimizers on several GPUs, to synchronise replicas, and in half precision, with
    loss scaling.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    fused = replicas == 1 and not half_precision
    make = functools.partial(_FusedOptimizer, stage.optimizer) if fused else _KERAS[stage.optimizer]
    optimizer = make(
        learning_rate=_learning_rate(stage, steps),
        weight_decay=stage.weight_decay or None,
        name=stage.optimizer,
    )
    return optimizers.LossScaleOptimizer(optimizer) if half_precision else optimizer


def _learning_rate(
    stage: StageConfig, steps: int
) -> float | optimizers.schedules.LearningRateSchedule:
    warmup = int(stage.warmup * steps)
    if stage.schedule == 'constant' and not warmup:
        return stage.learning_rate
    return optimizers.schedules.CosineDecay(
        0.0 if warmup else stage.learning_rate,
        decay_steps=steps - warmup,
        alpha=0.0 if stage.schedule == 'cosine' else 1.0,
        warmup_target=stage.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
