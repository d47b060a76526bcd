"""Writes a version in another format, without a run and without a push."""

import shutil
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from ml_metadata.proto.metadata_store_pb2 import Artifact
from pydantic import ValidationError

from common.artifacts import folder_of
from common.errors import DataError, ModelError
from common.metadata_queries import Node
from components.conversion.converter_config import FILES, LABELS_FILE, ConverterConfig, Format
from components.conversion.formats import write_labels, write_models
from components.conversion.images import preprocess, read_calibration_images
from components.conversion.keras_format import KERAS_FILE, rebuild
from components.image_example_gen.sources.base.listing import File
from components.inference.classifier import Classifier
from components.inference.inference_config import images_in
from components.inference.input_images import read_images
from components.inference.predictions import checked
from pipeline.config.recipe import Recipe
from pipeline.models.provenance import provenance_of, training_config
from trainer.config.train import TrainConfig
from trainer.training.trained_images import TRAINED_ON

_EXPORTS = 'exports'  # in the folder of the runs
_FORMATS: dict[str, tuple[Format, ...]] = {'tflite': ('float16', 'int8'), 'onnx': ('onnx',)}

Kind = Literal['tflite', 'onnx', 'keras']


def export(recipe: Recipe, version: Path, kind: Kind, data: Path | None) -> list[Path]:
    """Writes a version and its class names to `exports/VERSION/`, and returns the files.

    int8 is calibrated on the images in the folder `data`, by default on those that the model was
    trained on.

    Raises:
        ModelError: the version cannot be loaded, or not be rebuilt in Keras.
        DataError: there are no images for int8.
    """
    target = recipe.home / _EXPORTS / version.name
    if kind == 'keras':
        with keras.device('cpu'):  # a GPU rounds too coarsely to compare both models
            return _export_keras(recipe, version, target)
    classifier, calibration = Classifier(version), None
    if kind == 'tflite':
        most = (recipe.converter or ConverterConfig()).calibration_images
        calibration = _calibration(recipe, version, data, most, classifier.image_size)
    target.mkdir(parents=True, exist_ok=True)
    write_models(classifier, _FORMATS[kind], calibration, target)
    return [*(target / FILES[each] for each in _FORMATS[kind]), target / LABELS_FILE]


def _export_keras(recipe: Recipe, version: Path, target: Path) -> list[Path]:
    classifier = Classifier(version)
    model, trained_on = _rebuild(recipe, version, classifier)
    target.mkdir(parents=True, exist_ok=True)
    model.save(target / KERAS_FILE)
    write_labels(classifier.classes, target)
    names = [KERAS_FILE, LABELS_FILE]
    if trained_on.is_file():  # not of models of earlier versions
        shutil.copyfile(trained_on, target / TRAINED_ON)
        names.append(TRAINED_ON)
    return [target / name for name in names]


def _training(recipe: Recipe, version: Path) -> tuple[Artifact, Node] | None:
    """The model that a version holds and its training; None if the metadata do not have them."""
    provenance = provenance_of(recipe)
    model = provenance.model_of(version)
    trainer = provenance.producer(model)
    return (model, trainer) if model and trainer else None


def _rebuild(recipe: Recipe, version: Path, classifier: Classifier) -> tuple[keras.Model, Path]:
    """The model in Keras, and the index of its training images."""
    problem = 'the metadata do not have its training'
    if found := _training(recipe, version):
        model, trainer = found
        try:
            stored, folder = training_config(trainer)['train'], folder_of(model.uri)
            # An earlier version may have had other keys; `rebuild` compares the predictions.
            known = {key: stored[key] for key in stored.keys() & TrainConfig.model_fields.keys()}
            config = TrainConfig.model_validate(known)
            return rebuild(classifier, config, folder), folder / TRAINED_ON
        except ValidationError:
            problem = 'it was trained by other code'
        except ModelError as error:
            problem = str(error)
    raise ModelError(f'{version} cannot be rebuilt in Keras: {problem}')


def _calibration(
    recipe: Recipe, version: Path, data: Path | None, most: int, size: int
) -> np.ndarray:
    """At most `most` images, preprocessed as in the training: uint8 [n, size, size, 3]."""
    _, trainer = _training(recipe, version) or (None, None)
    resize = training_config(trainer).get('train', {}).get('resize', recipe.trainer.resize)
    if data is None:
        folders = [folder_of(each.uri) for each in trainer.inputs['examples']] if trainer else []
        if not folders or not all(map(Path.is_dir, folders)):
            raise DataError(
                f'the images that {version} was trained on are not on this machine; give others: '
                '--data FOLDER'
            )
        return read_calibration_images(folders, most, size, resize)
    paths = [str(data / file.name) for file in _spread(images_in(data, '--data'), most)]
    images = checked(read_images(paths, recipe.data.checks.max_bytes), recipe.data.checks)
    usable = [each.contents for each in images if not each.problem]
    if not usable:
        raise DataError(f'--data: none of the images in {data} can be used')
    return preprocess(usable, size, resize)


def _spread(files: list[File], most: int) -> list[File]:
    """At most `most` files at equal distances: of each class, if it has a folder per class."""
    count = min(most, len(files))
    return [files[(2 * place + 1) * len(files) // (2 * count)] for place in range(count)]
