"""`make pretrain`: trains the embedded weights (`trainer.weights: embedded`) from scratch."""

import logging
import sys
from pathlib import Path

import click

from common import console, stack
from common.errors import PipelineError
from pretraining.collection import make_collection
from pretraining.settings import Settings
from pretraining.workdir import alone, claim
from trainer.model.weights import EMBEDDED_FILE

_log = logging.getLogger('pretraining')  # __name__ is __main__


def _picture(context: click.Context, option: click.Parameter, file: Path | None) -> Path | None:
    if file:
        _need(file, '.png')
    return file


def _weights(context: click.Context, option: click.Parameter, file: Path) -> Path:
    _need(file, '.weights.h5')
    return file


def _need(file: Path, end: str) -> None:
    if not file.name.endswith(end):
        raise click.BadParameter(f'{file} does not end with {end}')
    if not file.parent.is_dir():
        raise click.BadParameter(f'{file.parent} is no folder')


@click.command(context_settings={'help_option_names': ['-h', '--help']})
@click.option(
    '--seed',
    type=click.IntRange(0, 2**20),
    default=0,
    show_default=True,
    help='Random seed; the same seed gives the same images, and on one machine the same weights.',
)
@click.option(
    '--steps',
    type=click.IntRange(1),
    help='Number of batches; default: as for the embedded weights.',
)
@click.option(
    '--output',
    type=click.Path(path_type=Path, dir_okay=False),
    default=EMBEDDED_FILE,
    show_default='the one that recipes use',
    callback=_weights,
    help='Weights file to write, *.weights.h5.',
)
@click.option(
    '--workdir',
    type=click.Path(path_type=Path, file_okay=False),
    default=Path('runs/pretraining'),
    show_default=True,
    help='Folder of drawings and checkpoints; the same command resumes from there.',
)
@click.option(
    '--look',
    type=click.Path(path_type=Path, dir_okay=False),
    metavar='PNG',
    callback=_picture,
    help='Write a PNG of sample scenes to this file instead of training.',
)
@click.pass_context
def main(
    context: click.Context,
    /,
    seed: int,
    steps: int | None,
    output: Path,
    workdir: Path,
    look: Path | None,
) -> None:
    """Pretrain MobileNetV2 0.35 on formula-generated images."""
    stack.set_tensorflow_log_level(3)
    context.with_resource(console.output_to(sys.stdout))
    settings = Settings(seed=seed) if steps is None else Settings(seed=seed, steps=steps)
    if not look and output == EMBEDDED_FILE and settings != Settings():
        raise click.UsageError(
            'with another --seed or --steps give --output: recipes use the default file'
        )
    try:
        with alone(workdir):
            if look:
                _write_sheet(settings, workdir, look)
            else:
                claim(workdir, settings)
                _make_weights(settings, workdir, output)
    except PipelineError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.ClickException(f'{error.filename or workdir}: {reason}') from error
    except KeyboardInterrupt:
        _log.info('interrupted; the same command resumes from the last checkpoint')
        raise SystemExit(130) from None


def _write_sheet(settings: Settings, workdir: Path, file: Path) -> None:
    collection = make_collection(settings.counts, settings.seed, workdir)
    from pretraining.sheet import write_sheet  # imports TensorFlow

    write_sheet(collection, settings.seed, file)
    _log.info('%s: scenes of the beginning, the middle and the end of the training', file)


def _make_weights(settings: Settings, workdir: Path, output: Path) -> None:
    collection = make_collection(settings.counts, settings.seed, workdir)
    # Imported late: they import TensorFlow.
    from pretraining.compact_weights import save_compact
    from pretraining.network import as_keras_builds_it
    from pretraining.training import Pretraining, pretrain

    run = Pretraining(settings, collection)
    pretrain(run, workdir / 'checkpoint')
    save_compact(as_keras_builds_it(run.backbone), output)
    _log.info('%s: %.2f MB, %s', output, output.stat().st_size / 1e6, run.in_words())


if __name__ == '__main__':
    main()
