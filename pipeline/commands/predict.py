"""Asking a model."""

import sys
from pathlib import Path
from typing import Any

import click

from common.errors import ModelError
from pipeline.commands.options import load, quiet_tensorflow, recipe_options, show

ANSWERED, NOT_ALL = 0, 1
CODES = (
    'Exit codes: 0 all images were answered; 1 some could not be, each with a line of its own; '
    '2 wrong usage, or no model; 130 interrupted.'
)


@click.command(epilog=CODES)
@click.argument('images', nargs=-1, required=True, metavar='IMAGE...')
@recipe_options
@click.option(
    '--model',
    metavar='VERSION|FOLDER',
    help='A pushed version, or a SavedModel. Default: the live one.',
)
@click.option('--json', 'as_json', is_flag=True, help='One JSON object per line, errors too.')
@click.option(
    '--explain',
    type=click.Path(path_type=Path),
    metavar='FOLDER',
    help='Write a PNG for each image: warm is what speaks for the class.',
)
def predict(
    images: tuple[str, ...], model: str | None, as_json: bool, explain: Path | None, **options: Any
) -> None:
    """Say what is in each IMAGE: a file, a folder, an address, or - for standard input.

    Prints path, class and the probability of that class. What cannot be used is told on standard
    error.
    """
    recipe = load(**options)
    from components.inference.model_folder import read_classes
    from components.pusher.serving_folder import find_model

    folder = find_model(recipe.serving_directory, model)
    read_classes(folder)  # before TensorFlow is imported
    answered = _predict(images, folder, recipe.data.checks, explain, as_json=as_json)
    sys.exit(ANSWERED if answered else NOT_ALL)


def _predict(
    images: tuple[str, ...], folder: Path, checks: Any, explain: Path | None, *, as_json: bool
) -> bool:
    """Prints what is said of each image; whether there was an answer to every one."""
    quiet_tensorflow()
    from pipeline.execution.quick_imports import quick_imports

    with quick_imports():
        from components.inference.classifier import Classifier
        from pipeline.prediction import predictions as asking
        from pipeline.prediction.given_images import read_given

    classifier = Classifier(folder)
    if explain and not classifier.explains:
        raise ModelError(f'the model in {folder} cannot explain itself; train one again')
    explanations = asking.Explanations(explain) if explain else None
    answered = True
    given = read_given(images, checks.max_bytes)
    for each in asking.predict(given, classifier, checks, explanations):
        answered = answered and each.problem is None
        if as_json:
            show(each.as_json())
            continue
        if each.answer:
            show(each.as_text())
        if each.problem:
            click.echo(asking.one_line(f'error: {each.path}: {each.problem}'), err=True)
    return answered
