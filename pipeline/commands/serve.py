"""The `serve` command."""

import re
import signal
import sys
from typing import Any

import click

from common import stack
from common.errors import ConfigError
from components.image_example_gen.inspection.examine import start
from components.pusher.serving_folder import find_model
from pipeline.commands.options import Command, load, show, stored_options
from pipeline.serving import server

_NAME = re.compile('[A-Za-z0-9_][A-Za-z0-9_.-]*')


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
    find_model(recipe.serving_directory, None)  # raises without a live version
    with server.listen(host, port) as listening:
        stack.set_tensorflow_log_level(3)
        start()  # worker processes, which import TensorFlow meanwhile
        from pipeline.serving.app import Service
        from pipeline.serving.served_model import LiveModel

        live, hosts = LiveModel(recipe.serving_directory), server.accepted_hosts(listening)
        service = Service(live, name, recipe.data.checks, hosts)
        address = server.url(listening)
        url = f'{address}v1/models/{name}:predict'
        show(f'{address} classifies photographs; REST: {url}')
        show(f'example: curl -s -F file=@cat.jpg {url}')
        server.create_server(service.app).run(sockets=[listening])
