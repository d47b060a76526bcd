"""Runs a server of a small model in a thread of the test process."""

import base64
import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

NAME = 'pets'
MAX_IMAGES, MAX_BYTES = 8, 200_000


@dataclasses.dataclass
class Server:
    """A running server; the address of its model is `url`."""

    base: str
    serving: Path
    live: Any

    @property
    def url(self) -> str:
        return f'{self.base}v1/models/{NAME}'

    def predict(
        self, *images: bytes, signature: str = 'serve_images', version: str = ''
    ) -> requests.Response:
        instances = [{'b64': base64.b64encode(image).decode()} for image in images]
        body = {'signature_name': signature, 'instances': instances}
        return requests.post(f'{self.url}{version}:predict', json=body, timeout=60)


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'the condition does not become true'
        time.sleep(0.02)


@contextlib.contextmanager
def running(serving: Path) -> Iterator[Server]:
    from components.image_example_gen.inspection.check_config import CheckConfig
    from pipeline.serving import app, server
    from pipeline.serving.served_model import LiveModel

    live = LiveModel(serving)
    with (
        server.listen('127.0.0.1', 0) as listening,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(app, '_MAX_IMAGES', MAX_IMAGES)
        patch.setattr(app, '_MAX_BYTES', MAX_BYTES)
        service = app.Service(live, NAME, CheckConfig(), server.accepted_hosts(listening))
        uvicorn_server = server.create_server(service.app)
        thread = threading.Thread(target=uvicorn_server.run, args=([listening],))
        thread.start()
        wait_for(lambda: uvicorn_server.started or not thread.is_alive())
        yield Server(server.url(listening), serving, live)
        uvicorn_server.should_exit = True
        thread.join()
