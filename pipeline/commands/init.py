"""The `init` command."""

import os
import shlex
import sys
from pathlib import Path

import click

from common.console import one_line
from common.errors import ConfigError
from common.files import replacing, write_atomically
from pipeline.commands.options import RECIPE, RECIPE_FILE, PathType, show
from pipeline.config.recipe import parse_override
from pipeline.new_recipe.choices import Choices
from pipeline.new_recipe.contact_sheet import draw
from pipeline.new_recipe.create import create_recipe
from pipeline.new_recipe.survey import Survey
from pipeline.new_recipe.warnings import warnings

_SHOWN = 20  # classes in a line
_ENOUGH = 60  # test images from which a worse model is seldom pushed (decision 17)


@click.command()
@click.argument('data', type=PathType(), metavar='FOLDER')
@click.option(
    '--output',
    '-o',
    type=PathType(path_type=Path),
    default=RECIPE_FILE,
    show_default=True,
    help='The recipe to write.',
)
@click.option(
    '--set',
    'overrides',
    multiple=True,
    metavar='KEY=VALUE',
    help="Set a key of data, as in data.columns.label=breed or data.classes='[cat, dog]'. "
    'Repeatable.',
)
@click.option(
    '--weights',
    type=PathType(),
    metavar='TEXT',
    default='imagenet',
    show_default=True,
    help="Initial weights: 'imagenet', downloaded by the first run; without a network, a Keras "
    "weights file of MobileNetV2, or 'embedded', which are part of this program.",
)
@click.option('--force', is_flag=True, help='Replace an existing recipe.')
def init(data: str, output: Path, overrides: tuple[str, ...], weights: str, force: bool) -> None:
    """Write a recipe for the images in FOLDER.

    Looks at the images, and also writes a picture with a few of them. FOLDER is anything that
    --data of the other commands takes: a folder, an archive, a CSV file, Parquet, TFRecords, or a
    URL.
    """
    if output.suffix not in ('.yaml', '.yml') or output.is_dir():
        raise ConfigError(f'-o {output}: give the name of a file that ends in .yaml')
    picture = output.with_suffix('.png')
    for file in (output, picture):
        if file.exists() and not force:
            raise ConfigError(
                f'{file.absolute()} exists; add --force to replace it, or give -o FILE'
            )
    found, chosen, text = create_recipe(data, output, weights, [*map(parse_override, overrides)])
    notes = [f'note: {line}' for line in (*found.notes, *warnings(found))]
    for line in (*_report(found, chosen), *notes):
        show(one_line(line))
    with replacing(picture) as partial:
        draw(found, chosen.images).save(partial, 'PNG')
    write_atomically(output, text)
    show(f'picture: {picture.absolute()}')
    show(f'recipe: {output.absolute()}')
    is_found = RECIPE not in os.environ and output.absolute() == Path(RECIPE_FILE).absolute()
    program = sys.orig_argv[:1] * sys.argv[0].endswith('.py')  # an installed one needs no Python
    options = [] if is_found else [f'--config={output}']
    show(f'next: {shlex.join([*program, sys.argv[0], "run", *options])}')


def _report(found: Survey, chosen: Choices) -> list[str]:
    """What was found and chosen, in lines for the console."""
    counts = [f'{name} {number:,}' for name, number in found.classes.items()]
    shown = ', '.join(counts[:_SHOWN])
    shown += f' and {len(counts) - _SHOWN} more' if len(counts) > _SHOWN else ''
    reasons = ', '.join(f'{number} {reason}' for reason, number in found.bad.most_common())
    bad = f'{reasons}, such as {"; ".join(found.examples)}' if reasons else 'none'
    formats = ', '.join(f'{name} {number:,}' for name, number in found.formats.most_common())
    read = '' if found.read >= found.count else f' (of {found.read:,} that were read)'
    spans = f'; spans {min(found.spans)} to {max(found.spans)}' if found.spans else ''
    groups = '; groups of images stay in one split (data.group_by)' if found.group_by else ''
    splits = ', '.join(f'{number:,} {name}' for name, number in chosen.images.items())
    trainer, gate = chosen.values['trainer'], chosen.values['evaluation']
    few = ''
    if chosen.images['test'] < _ENOUGH:
        few = f'; with fewer than {_ENOUGH} test images, a worse model may pass by chance'
    download = ', which the first run downloads' if trainer['weights'] == 'imagenet' else ''
    return [
        f'data: {found.data.describe()}; {found.layout}{spans}{groups}',
        f'images: {found.count:,}; {len(counts)} classes: {shown}',
        f'sizes: {min(found.sides)[0]} to {max(longer for _, longer in found.sides)} pixels, '
        f'median of the shorter side {found.median_side}{read}',
        f'formats: {formats}{read}',
        f'unreadable: {bad}{read}',
        f'settings: those of the recipe {chosen.settings}, at {trainer["image_size"]} pixels; '
        f'weights {trainer["weights"]}{download}',
        f'splits: about {splits}',
        f'gate: {gate["metric"].replace("_", " ")} better than always answering the most frequent '
        f'class, and at most {gate["margin"]:g} below the reference model{few}',
    ]
