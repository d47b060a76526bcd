"""`make pretrain`: makes the weights that `trainer.weights: embedded` means, from nothing."""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainer.progress import console
from trainer.weights import EMBEDDED_FILE

if TYPE_CHECKING:
    from pretraining.collection import Collection
    from pretraining.training import Settings


def _picture(context: click.Context, option: click.Parameter, file: Path | None) -> Path | None:
    if file and file.suffix != '.png':
        raise click.BadParameter(f'{file} does not end with .png')
    return file


@click.command(context_settings={'help_option_names': ['-h', '--help']})
@click.option(
    '--seed',
    type=click.IntRange(0, 2**20),
    default=0,
    show_default=True,
    help='One seed gives the same images, and on one machine the same weights.',
)
@click.option('--steps', type=click.IntRange(1), help='Batches; default: as the embedded weights.')
@click.option(
    '--output',
    type=click.Path(path_type=Path, dir_okay=False),
    default=EMBEDDED_FILE,
    show_default='the one that recipes use',
    help='The file of weights, *.weights.h5.',
)
@click.option(
    '--workdir',
    type=click.Path(path_type=Path, file_okay=False),
    default=Path('runs/pretraining'),
    show_default=True,
    help='Drawings, and how far it has come; the same command goes on from there.',
)
@click.option(
    '--look',
    type=click.Path(path_type=Path, dir_okay=False),
    metavar='PNG',
    callback=_picture,
    help='Only write a sheet of scenes, such as scenes.png, and train nothing.',
)
def main(seed: int, steps: int | None, output: Path, workdir: Path, look: Path | None) -> None:
    """Pretrain MobileNetV2 0.35 on images that formulas make."""
    if not output.name.endswith('.weights.h5'):
        raise click.BadParameter(f'{output} does not end with .weights.h5', param_hint='--output')
    if not output.parent.is_dir():
        raise click.BadParameter(f'{output.parent} is no folder', param_hint='--output')
    # Only now, so that --help answers at once.
    from pretraining.collection import make_collection
    from pretraining.sheet import write_sheet
    from pretraining.training import OtherSettings, Settings

    settings = Settings(seed=seed) if steps is None else Settings(seed=seed, steps=steps)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        collection = make_collection(settings.counts, seed, workdir)
        if look:
            write_sheet(collection, seed, look)
            console().print(f'{look}: scenes at the beginning, half way and in the end')
        else:
            _make_weights(settings, collection, output, workdir / 'checkpoint')
    except OtherSettings as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.ClickException(f'{error.filename or workdir}: {error.strerror}') from error
    except KeyboardInterrupt:
        console().print('interrupted; the same command goes on from the last checkpoint')
        raise SystemExit(130) from None


def _make_weights(
    settings: 'Settings', collection: 'Collection', output: Path, checkpoint: Path
) -> None:
    from pretraining.network import as_keras_builds_it
    from pretraining.training import Pretraining, pretrain
    from trainer.compact_weights import save_compact

    run = Pretraining(settings, collection)
    pretrain(run, checkpoint)
    save_compact(as_keras_builds_it(run.backbone), output)
    console().print(f'{output}: {output.stat().st_size / 1e6:.2f} MB, {run.in_words()}')


if __name__ == '__main__':
    main()
