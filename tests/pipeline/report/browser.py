"""A headless Chromium that opens pages and answers questions about them.

It is spoken to by its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/.
"""

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websocket

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
FOUND = next(filter(None, map(shutil.which, NAMES)), None)
_FLAGS = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--remote-debugging-port=0',
    '--remote-allow-origins=*',
)
_PATIENCE = 60.0  # seconds, for its start and for any answer


class Tab:
    """A tab with one page; events that came since it was opened are in `events`."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, timeout=_PATIENCE)
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Asks, and waits for the answer."""
        number = next(self._numbers)
        self._socket.send(json.dumps({'id': number, 'method': method, 'params': params}))
        while True:
            message = self._receive()
            if message.get('id') == number:
                assert 'error' not in message, message['error']
                return message['result']

    def open(
        self, address: str, *, width: int = 1200, height: int = 800, dark: bool = False
    ) -> None:
        """Opens a page and waits until it is loaded."""
        scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')
        self.call('Emulation.setEmulatedMedia', features=[scheme])
        self.resize(width, height)
        self.events.clear()
        self.call('Page.navigate', url=address)
        end = time.monotonic() + _PATIENCE
        while not any(each['method'] == 'Page.loadEventFired' for each in self.events):
            assert time.monotonic() < end, f'{address} did not load'
            self._receive()

    def resize(self, width: int, height: int) -> None:
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def ask(self, expression: str) -> Any:
        """The value of JavaScript."""
        found = self.call('Runtime.evaluate', expression=expression, returnByValue=True)
        assert 'exceptionDetails' not in found, found
        return found['result'].get('value')

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Writes a PNG of the page."""
        data = self.call('Page.captureScreenshot', captureBeyondViewport=whole)['data']
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """What the page wrote to the console, and what was wrong with it."""
        wanted = ('Log.entryAdded', 'Runtime.consoleAPICalled', 'Runtime.exceptionThrown')
        return [json.dumps(each['params']) for each in self.events if each['method'] in wanted]

    def fetched(self) -> list[str]:
        """Addresses that were asked for, but those that hold their data themselves."""
        urls = [
            each['params']['request']['url']
            for each in self.events
            if each['method'] == 'Network.requestWillBeSent'
        ]
        return [url for url in urls if not url.startswith('data:')]

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> dict[str, Any]:
        message = json.loads(self._socket.recv())
        if 'method' in message:
            self.events.append(message)
        return message


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """A browser with one tab, that ends with the block."""
    assert FOUND is not None
    process = subprocess.Popen(
        [FOUND, *_FLAGS, f'--user-data-dir={profile}', 'about:blank'],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        tab = Tab(_tab_address(profile))
        yield tab
        tab.close()
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


def _tab_address(profile: Path) -> str:
    """Where the only tab listens, once the browser has written its port."""
    file, end = profile / 'DevToolsActivePort', time.monotonic() + _PATIENCE
    while not (file.is_file() and file.read_text().count('\n')):
        assert time.monotonic() < end, 'the browser did not start'
        time.sleep(0.05)
    port = int(file.read_text().splitlines()[0])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        with opener.open(f'http://127.0.0.1:{port}/json/list', timeout=_PATIENCE) as answer:
            pages = [each for each in json.load(answer) if each['type'] == 'page']
        if pages:
            return str(pages[0]['webSocketDebuggerUrl'])
        assert time.monotonic() < end, 'the browser has no tab'
        time.sleep(0.05)
