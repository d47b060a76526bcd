"""The `export` command."""

from pathlib import Path
from typing import Any

import click

from common import stack
from common.errors import ModelError
from components.image_example_gen.inspection.examine import start
from components.inference.model_folder import read_classes
from components.pusher.serving_folder import find_model, versions_in
from pipeline.commands.options import Command, PathType, load, show, stored_options


@click.command(cls=Command)
@click.argument('version', required=False)
@stored_options
@click.option(
    '--to',
    'kind',
    type=click.Choice(['tflite', 'onnx', 'keras']),
    required=True,
    help='TensorFlow Lite (float16 and int8), ONNX, or a model of Keras.',
)
@click.option(
    '--data',
    type=PathType(),
    metavar='FOLDER',
    help='Images that calibrate int8; default: those that the model was trained on.',
)
def export(version: str | None, kind: Any, data: str | None, **options: Any) -> None:
    """Write a VERSION in another format.

    VERSION is a version or its folder; default: the live version. Writes to exports/VERSION in the
    folder of the runs, and prints the files; trains and pushes nothing.
    """
    if data and kind != 'tflite':
        raise click.UsageError('--data calibrates int8; use it with --to tflite')
    recipe = load(**options)
    given = find_model(recipe.serving_directory, version)
    read_classes(given)  # raises for an unsuitable model
    versions = versions_in(recipe.serving_directory)
    folder = next((each for each in versions if each.samefile(given)), None)
    if folder is None:  # exports/ has a folder per version
        raise ModelError(f'{given} is not a version in {recipe.serving_directory}')
    stack.set_tensorflow_log_level(3)
    if data:
        start()  # worker processes, which import TensorFlow meanwhile
    from pipeline.models.export import export as write

    for file in write(recipe, folder, kind, Path(data) if data else None):
        show(str(file))
