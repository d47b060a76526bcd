"""The `predict` command."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from common import stack
from common.console import one_line
from common.errors import FAILED, ModelError
from components.image_example_gen.inspection.examine import start
from components.inference.input_images import read_images
from components.inference.model_folder import read_classes
from components.pusher.serving_folder import find_model
from pipeline.commands.options import Command, PathType, load, show, stored_options


@click.command(cls=Command)
@click.argument('images', type=PathType(), nargs=-1, required=True, metavar='IMAGE...')
@stored_options
@click.option(
    '--model',
    type=PathType(),
    metavar='TEXT',
    help='A pushed version, or the folder of a SavedModel; default: the live version.',
)
@click.option(
    '--top', type=click.IntRange(1), default=1, show_default=True, help='Classes of an image.'
)
@click.option('--json', 'as_json', is_flag=True, help='Print a JSON object per image or error.')
@click.option('--csv', 'as_csv', is_flag=True, help='Print CSV with all probabilities.')
@click.option(
    '--explain',
    type=PathType(path_type=Path),
    metavar='FOLDER',
    help='Write a Grad-CAM overlay per image as PNG; warm colours support the predicted class.',
)
def predict(
    images: tuple[str, ...],
    model: str | None,
    top: int,
    as_json: bool,
    as_csv: bool,
    explain: Path | None,
    **options: Any,
) -> None:
    """Predict the classes of images.

    IMAGE is a file, a folder, a URL, or - for standard input. Prints path, class and confidence;
    --json and --csv have the probabilities of all classes. Errors, and the name of the model, go to
    standard error.
    """
    if as_json and as_csv:
        raise click.UsageError('--json and --csv exclude each other')
    recipe = load(**options)
    folder = find_model(recipe.serving_directory, model)
    classes = read_classes(folder)  # raises for an unsuitable model
    stack.set_tensorflow_log_level(3)
    start()  # worker processes, which import TensorFlow meanwhile
    from components.inference import predictions
    from components.inference.classifier import Classifier

    classifier = Classifier(folder)
    if explain and not classifier.explains:
        raise ModelError(f'the model in {folder} cannot compute Grad-CAM; train a new one')
    if explain:
        explain.mkdir(parents=True, exist_ok=True)
    checks = recipe.data.checks
    click.echo(one_line(f'model: {folder}'), err=True)
    table = predictions.csv_table(sys.stdout, classes) if as_csv else None
    failed = False
    inputs = read_images(images, checks.max_bytes)
    for row in predictions.predict(inputs, classifier, checks, explain):
        failed = failed or 'error' in row
        if table:
            table.writerow(predictions.csv_values(row))
        elif as_json:
            show(json.dumps(row | ({'model': str(folder)} if 'class' in row else {})))
        else:
            if 'class' in row:
                show(predictions.as_text(row, top))
            if 'error' in row:
                click.echo(one_line(f'error: {row["path"]}: {row["error"]}'), err=True)
    sys.exit(FAILED if failed else 0)
