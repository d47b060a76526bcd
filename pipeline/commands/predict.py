"""The `predict` command."""

import sys
from pathlib import Path
from typing import Any

import click

from common import stack
from common.console import one_line
from common.errors import FAILED, ModelError
from pipeline.commands.options import load, recipe_options, show

_CODES = (
    'Exit codes: 0 a prediction for every image; 1 some images failed, each with an error line; '
    '2 wrong usage, or no model; 130 interrupted.'
)


@click.command(epilog=_CODES)
@click.argument('images', nargs=-1, required=True, metavar='IMAGE...')
@recipe_options
@click.option('--model', help='A pushed version, or the folder of a SavedModel; default: live.')
@click.option('--json', 'as_json', is_flag=True, help='Print a JSON object per image or error.')
@click.option(
    '--explain',
    type=click.Path(path_type=Path),
    metavar='FOLDER',
    help='Write a Grad-CAM overlay per image as PNG; warm colours support the predicted class.',
)
def predict(
    images: tuple[str, ...], model: str | None, as_json: bool, explain: Path | None, **options: Any
) -> None:
    """Predict the class of each IMAGE: a file, a folder, a URL, or - for standard input.

    Prints path, class and probability. Errors go to standard error.
    """
    recipe = load(**options)
    from components.inference.model_folder import read_classes
    from components.pusher.serving_folder import find_model

    folder = find_model(recipe.serving_directory, model)
    read_classes(folder)  # raises for an unsuitable model, before TensorFlow is imported
    stack.set_tensorflow_log_level(3)
    from pipeline.execution.quick_imports import quick_imports

    with quick_imports():
        from components.inference.classifier import Classifier
        from pipeline.prediction import predictions
        from pipeline.prediction.input_images import read_images

    classifier = Classifier(folder)
    if explain and not classifier.explains:
        raise ModelError(f'the model in {folder} cannot compute Grad-CAM; train a new one')
    overlays = predictions.OverlayFolder(explain) if explain else None
    checks = recipe.data.checks
    failed = False
    inputs = read_images(images, checks.max_bytes)
    for each in predictions.predict(inputs, classifier, checks, overlays):
        failed = failed or each.problem is not None
        if as_json:
            show(each.as_json())
            continue
        if each.predicted:
            show(each.as_text())
        if each.problem:
            line = one_line(f'error: {each.path}: {each.problem}')
            click.echo(line, err=True)
    sys.exit(FAILED if failed else 0)
