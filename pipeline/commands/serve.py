"""The `serve` command."""

import re
import signal
import sys
from typing import Any

import click

from common import stack
from common.errors import ConfigError, ModelError
from common.files import MEGABYTE
from pipeline.commands.options import load, recipe_options, show

_CODES = (
    'Exit codes: 0 ended by SIGTERM; 2 wrong usage, no live model, or the port is in use; '
    '130 interrupted.'
)
_NAME = re.compile('[A-Za-z0-9_][A-Za-z0-9_.-]*')


@click.command(epilog=_CODES)
@recipe_options
@click.option(
    '--host',
    default='127.0.0.1',
    show_default=True,
    help='Address to listen on. There is no authentication: 0.0.0.0 lets the whole network in.',
)
@click.option(
    '--port',
    type=click.IntRange(0, 65_535),
    default=8501,
    show_default=True,
    help='Port; 0 takes a free one.',
)
@click.option('--name', help='Name of the model in URLs; default: the name of the recipe.')
@click.option(
    '--max-images',
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help='Images of a request.',
)
@click.option(
    '--max-megabytes',
    type=click.FloatRange(0, min_open=True),
    default=32.0,
    show_default=True,
    help='Body of a request, where base64 makes images a third larger.',
)
def serve(
    host: str, port: int, name: str | None, max_images: int, max_megabytes: float, **options: Any
) -> None:
    """Serve the live model over HTTP, with TensorFlow Serving's REST API and a page for browsers.

    A push or rollback replaces the model without losing a request. The limits of each image are
    data.checks of the recipe.
    """
    recipe = load(**options)
    name = name or recipe.name
    if not _NAME.fullmatch(name):
        raise ConfigError(f'--name: {name!r} must consist of letters, digits, ".", "_" and "-"')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    from components.pusher.serving_folder import versions_in
    from pipeline.serving import server

    if not versions_in(recipe.serving_directory):
        raise ModelError(
            f'no model is live in {recipe.serving_directory}; run the recipe until one is pushed'
        )
    with server.listen(host, port) as listening:
        stack.set_tensorflow_log_level(3)
        from components.image_example_gen.inspection.examine import start

        start()  # worker processes, which import TensorFlow meanwhile
        from pipeline.serving.app import Service
        from pipeline.serving.live_model import LiveModel

        service = Service(
            LiveModel(recipe.serving_directory),
            name,
            recipe.data.checks,
            max_images=max_images,
            max_bytes=int(max_megabytes * MEGABYTE),
            hosts=server.accepted_hosts(listening),
        )
        address = server.url(listening)
        url = f'{address}v1/models/{name}:predict'
        show(f'{address} classifies photographs; REST: {url}')
        show(f'example: curl -s -F file=@cat.jpg {url}')
        server.create_server(service.app).run(sockets=[listening])
