"""The `init` command."""

import os
from pathlib import Path

import click

from common.console import one_line
from common.errors import ConfigError
from common.files import replacing, write_atomically
from pipeline.commands.options import RECIPE, RECIPE_FILE, command_line, show
from pipeline.config.recipe import parse_override
from pipeline.new_recipe.choices import Choices
from pipeline.new_recipe.contact_sheet import draw
from pipeline.new_recipe.create import create_recipe
from pipeline.new_recipe.survey import Survey
from pipeline.new_recipe.warnings import warnings

_SHOWN = 20  # classes in a line


@click.command()
@click.argument('data', metavar='FOLDER')
@click.option(
    '--output',
    '-o',
    type=Path,
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
    needed = command_line(config=None if is_found else str(output))
    show(f'next: {needed.command("run")}')


def _report(found: Survey, chosen: Choices) -> list[str]:
    """What was found and chosen, in lines for the console."""
    sample, gate, trainer = found.sample, chosen.gate, chosen.values['trainer']
    is_all = sample.read >= found.count
    read = '' if is_all else f' (of {sample.read:,} that were read; a run checks all)'
    classes = [f'{name} {number:,}' for name, number in found.classes.items()]
    more = f' and {len(classes) - _SHOWN} more' if len(classes) > _SHOWN else ''
    estimated = '' if found.is_exact else ' (estimated)'
    formats = ', '.join(f'{name} {number:,}' for name, number in sample.formats.most_common())
    reasons = ', '.join(f'{number} {reason}' for reason, number in sample.bad.most_common())
    examples = f', such as {"; ".join(sample.examples)}' if reasons else ''
    spans = f'; spans {min(found.spans)} to {max(found.spans)}' if found.spans else ''
    splits = ', '.join(f'{number:,} {name}' for name, number in chosen.images.items())
    comparison = 'pushed unless shown to be worse than the live model: few test images'
    if gate.undecided == 'keep':
        comparison = f'at most {gate.max_drop:g} below the live model'
    return [
        f'data: {found.data.describe()}; {found.layout}{spans}',
        f'images: {found.count:,}; {len(classes)} classes: {", ".join(classes[:_SHOWN])}{more}'
        f'{estimated}',
        f'sizes: {min(sample.sides)[0]} to {max(longer for _, longer in sample.sides)} pixels, '
        f'median of the shorter side {found.median_side}{read}',
        f'formats: {formats}{read}',
        f'unreadable: {reasons or "none"}{examples}{read}',
        f'settings: those of the recipe {chosen.settings}, at {trainer["image_size"]} pixels; '
        f'weights {trainer["weights"]}',
        f'splits: about {splits}',
        f'gate: baseline accuracy {gate.baseline_accuracy or "by the number of classes"}, on '
        f'{gate.min_images} test images or more; {comparison}',
    ]
