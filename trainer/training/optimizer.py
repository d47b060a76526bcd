"""The optimizer of a stage, with its learning rate."""

import keras
from keras import optimizers

from trainer.config.train import StageConfig

_WITHOUT_DECAY = ['bias', 'beta', 'gamma']  # names of variables


def make_optimizer(
    stage: StageConfig, steps: int, *, half_precision: bool = False
) -> keras.Optimizer:
    """Makes the optimizer of a stage, with a learning rate schedule over `steps` steps.

    In half precision it scales the loss. Biases and batch norm have no weight decay.
    """
    options = {
        'learning_rate': _learning_rate(stage, steps),
        'weight_decay': stage.weight_decay or None,
        'global_clipnorm': stage.clip_norm,
    }
    makers = {
        'adam': optimizers.Adam,
        'adamw': optimizers.AdamW,
        'rmsprop': optimizers.RMSprop,
        'sgd': optimizers.SGD,
    }
    if stage.optimizer == 'sgd':
        options['momentum'] = stage.momentum
    optimizer = makers[stage.optimizer](**options)
    if stage.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=_WITHOUT_DECAY)
    return optimizers.LossScaleOptimizer(optimizer) if half_precision else optimizer


def _learning_rate(
    stage: StageConfig, steps: int
) -> float | optimizers.schedules.LearningRateSchedule:
    warmup = int(stage.warmup * steps)
    if stage.schedule != 'cosine' and not warmup:
        return stage.learning_rate
    return optimizers.schedules.CosineDecay(
        0.0 if warmup else stage.learning_rate,
        decay_steps=steps - warmup,
        alpha=0.0 if stage.schedule == 'cosine' else 1.0,
        warmup_target=stage.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
