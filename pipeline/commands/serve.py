"""The `serve` command."""

import re
import signal
import sys
from typing import Any

import click

from common import stack
from common.errors import ConfigError, ModelError
from common.files import MEGABYTE
from components.image_example_gen.inspection.examine import start
from components.pusher.serving_folder import versions_in
from pipeline.commands.options import Command, load, show, stored_options
from pipeline.serving import server

_NAME = re.compile('[A-Za-z0-9_][A-Za-z0-9_.-]*')
_MAX_IMAGES = 32  # of a request
_MAX_BYTES = 32 * MEGABYTE  # of the body of a request; base64 makes images a third larger


@click.command(cls=Command)
@stored_options
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
def serve(host: str, port: int, name: str | None, **options: Any) -> None:
    """Serve the live model over HTTP.

    With TensorFlow Serving's REST API and a page for browsers. A push or rollback replaces the
    model without losing a request. The limits of each image are data.checks of the recipe.
    """
    recipe = load(**options)
    name = name or recipe.name
    if not _NAME.fullmatch(name):
        raise ConfigError(f'--name: {name!r} must consist of letters, digits, ".", "_" and "-"')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if not versions_in(recipe.serving_directory):
        raise ModelError(
            f'no model is live in {recipe.serving_directory}; run the recipe until one is pushed'
        )
    with server.listen(host, port) as listening:
        stack.set_tensorflow_log_level(3)
        start()  # worker processes, which import TensorFlow meanwhile
        from pipeline.serving.app import Service
        from pipeline.serving.live_model import LiveModel

        service = Service(
            LiveModel(recipe.serving_directory),
            name,
            recipe.data.checks,
            max_images=_MAX_IMAGES,
            max_bytes=_MAX_BYTES,
            hosts=server.accepted_hosts(listening),
        )
        address = server.url(listening)
        url = f'{address}v1/models/{name}:predict'
        show(f'{address} classifies photographs; REST: {url}')
        show(f'example: curl -s -F file=@cat.jpg {url}')
        server.create_server(service.app).run(sockets=[listening])
