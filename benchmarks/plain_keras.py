"""A plain Keras script: images from folders, two training stages, no code of this project.

Usage: plain_keras.py RECIPE.json IMAGES, where IMAGES has train/, eval/ and test/ with a folder per
class, and weights are 'imagenet', 'random' or a file. Prints the test accuracy as a line of JSON.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import keras
import tensorflow as tf


def classes_in(folder: str) -> int:
    return len([*Path(folder).iterdir()])


def read_images(folder: str, recipe: dict, shuffle: bool) -> tf.data.Dataset:
    return keras.utils.image_dataset_from_directory(
        folder,
        label_mode='binary' if classes_in(folder) == 2 else 'categorical',
        image_size=(recipe['image_size'],) * 2,
        shuffle=shuffle,
        batch_size=recipe['batch_size'],
        seed=recipe['seed'],
        verbose=False,
    ).prefetch(tf.data.AUTOTUNE)


def build(recipe: dict, classes: int) -> tuple[keras.Model, keras.Model]:
    size = recipe['image_size']
    known = recipe['weights'] in ('imagenet', 'random')
    base = keras.applications.MobileNetV2(
        input_shape=(size, size, 3),
        alpha=recipe['alpha'],
        include_top=False,
        weights='imagenet' if recipe['weights'] == 'imagenet' else None,
    )
    if not known:
        base.load_weights(recipe['weights'])
    augment = recipe['augment']
    images = keras.Input((size, size, 3))
    x = images
    if augment['flip']:
        x = keras.layers.RandomFlip('horizontal')(x)
    if augment['rotation']:
        x = keras.layers.RandomRotation(augment['rotation'])(x)
    if augment['zoom']:
        x = keras.layers.RandomZoom(augment['zoom'])(x)
    x = keras.applications.mobilenet_v2.preprocess_input(x)
    if recipe['fine_tune']['batch_norm'] == 'train':
        for layer in base.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.9  # as in the pipeline; with 0.999 the steps are too few
    # With random weights, batch norm has to learn its statistics.
    x = base(x, training=None if recipe['fine_tune']['batch_norm'] == 'train' else False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    head = recipe['head']
    for units in head['hidden']:
        x = keras.layers.Dropout(head['dropout'])(x)
        x = keras.layers.Dense(units, 'relu', kernel_regularizer=penalty(head))(x)
    x = keras.layers.Dropout(head['dropout'])(x)
    logits = keras.layers.Dense(1 if classes == 2 else classes, kernel_regularizer=penalty(head))
    return keras.Model(images, logits(x)), base


def penalty(head: dict) -> keras.Regularizer | None:
    return keras.regularizers.L2(head['l2']) if head['l2'] else None


def fit(
    model: keras.Model,
    recipe: dict,
    stage: dict,
    train: tf.data.Dataset,
    held_out: tf.data.Dataset,
) -> None:
    if not stage['epochs']:
        return
    steps = stage['epochs'] * len(train)
    rate = stage['learning_rate']
    if stage['schedule'] == 'cosine':
        warmup = int(stage['warmup'] * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate,
            steps - warmup,
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    optimizers = {
        'adam': keras.optimizers.Adam,
        'rmsprop': keras.optimizers.RMSprop,
        'sgd': keras.optimizers.SGD,
    }
    if model.output_shape[-1] == 1:
        loss, metric = keras.losses.BinaryCrossentropy, keras.metrics.BinaryAccuracy(threshold=0.0)
    else:
        loss, metric = keras.losses.CategoricalCrossentropy, keras.metrics.CategoricalAccuracy()
    callbacks = []
    if stage['patience']:
        stopping = keras.callbacks.EarlyStopping(
            patience=stage['patience'], restore_best_weights=True
        )
        callbacks.append(stopping)
    model.compile(
        optimizers[stage['optimizer']](rate, weight_decay=stage['weight_decay'] or None),
        loss=loss(from_logits=True, label_smoothing=recipe['label_smoothing']),
        metrics=[metric],
    )
    model.fit(
        train,
        validation_data=held_out,
        epochs=stage['epochs'],
        callbacks=callbacks,
        shuffle=False,  # the dataset does
        verbose=0,
    )


def main(recipe_file: str, images: str) -> None:
    recipe = json.loads(Path(recipe_file).read_text())
    if recipe['class_weights']:
        sys.exit('this script does not support class weights')
    keras.utils.set_random_seed(recipe['seed'])
    train = read_images(f'{images}/train', recipe, shuffle=True)
    held_out = read_images(f'{images}/eval', recipe, shuffle=False)
    test = read_images(f'{images}/test', recipe, shuffle=False)
    model, base = build(recipe, classes_in(f'{images}/train'))
    base.trainable = False
    fit(model, recipe, recipe['feature_extraction'], train, held_out)
    base.trainable = True
    from_layer = recipe['fine_tune']['from_layer']
    if isinstance(from_layer, float):
        from_layer = int(from_layer * len(base.layers))
    if isinstance(from_layer, str):
        from_layer = [layer.name for layer in base.layers].index(from_layer)
    for layer in base.layers[:from_layer]:
        layer.trainable = False
    fit(model, recipe, recipe['fine_tune'], train, held_out)
    _, accuracy = model.evaluate(test, verbose=0)
    print(json.dumps({'accuracy': accuracy}))


if __name__ == '__main__':
    main(*sys.argv[1:])
