"""The `evaluate` command."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from common import console, stack
from common.errors import ModelError
from common.mirror import uri_of
from common.storage import fetch, storage_of
from components.image_example_gen.inspection.examine import start
from components.image_example_gen.sources.base.labels import describe_classes
from components.image_example_gen.sources.spans import open_labelled
from components.inference.model_folder import read_classes
from components.pusher.serving_folder import find_model
from pipeline.commands.options import Command, PathType, json_option, load, show, stored_options
from pipeline.config.recipe import name_from
from pipeline.local.run_recipe import library_output_to
from pipeline.report.page.render import render_labelled_set
from pipeline.report.text import describe_labelled_set


@click.command(cls=Command)
@click.argument('data', type=PathType(), metavar='FOLDER')
@stored_options
@click.option(
    '--version', metavar='TEXT', help='A pushed version or its folder; default: the live version.'
)
@click.option(
    '--against', metavar='TEXT', help='Another version, compared with it on the same images.'
)
@json_option
def evaluate(
    data: str, version: str | None, against: str | None, as_json: bool, **options: Any
) -> None:
    """Evaluate a version on the labelled images in FOLDER.

    FOLDER is anything that --data of the other commands takes. Prints metrics with intervals,
    classes, confusions, slices and the most confident mistakes, and writes a page with them to
    evaluations/ in the folder of the runs. Images that a version was trained on are left out.
    """
    with console.output_to(sys.stderr):
        recipe = load(remote=True, data=data, keeps_groups=False, **options)
    folder = find_model(recipe.serving_directory, version)
    other = find_model(recipe.serving_directory, against) if against else None
    for each in filter(None, (folder, other)):
        fetch(each)
    classes = read_classes(folder)
    if other and (others := read_classes(other)) != classes:
        raise ModelError(
            f'version {other.name} has {describe_classes(others)}, version {folder.name} '
            f'{describe_classes(classes)}; they cannot be compared'
        )
    spans = open_labelled(recipe.data, classes)
    stack.set_tensorflow_log_level(3)
    start()  # worker processes, which import TensorFlow meanwhile
    from pipeline.report.embedded_images import embedded
    from pipeline.report.labelled_set import evaluate as measure

    log = recipe.home / 'logs' / 'evaluate.log'
    with (
        tempfile.TemporaryDirectory(prefix='evaluate-') as work,
        console.output_to(sys.stderr),
        library_output_to(log),
        console.phase('evaluation', folder.name, brief=True),
    ):
        found = measure(recipe, spans, folder, other, Path(work))
        images = embedded(Path(work), found)
    min_images = recipe.evaluation.min_images
    names = [found.version, *(['against', found.against] if found.against else [])]
    names.append(name_from(found.data.rpartition('/')[2]))
    page = f'evaluations/{"-".join(names).replace("/", "-")}.html'
    text = render_labelled_set(found, images, min_images)
    storage_of(recipe.home).write(page, text.encode())
    if as_json:
        hidden = {'__all__': {'picture', 'explanation'}}  # which the page has
        parts = dict.fromkeys(('mistakes', 'worse', 'better'), hidden)
        show(found.model_dump_json(indent=1, exclude=parts))
    else:
        show(describe_labelled_set(found))
    click.echo(console.one_line(f'page: {uri_of(recipe.home / page)}'), err=as_json)
