"""Headless Chromium, driven over the DevTools protocol.

See https://chromedevtools.github.io/devtools-protocol/.
"""

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
EXECUTABLE = next(filter(None, map(shutil.which, NAMES)), None)
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
_TIMEOUT = 60.0  # seconds


class Tab:
    """A tab with one page; `events` holds the DevTools events since the page was opened."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, timeout=_TIMEOUT)
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Calls a DevTools method and returns its result."""
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
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.events.clear()
        self.call('Page.navigate', url=address)
        end = time.monotonic() + _TIMEOUT
        while not any(each['method'] == 'Page.loadEventFired' for each in self.events):
            assert time.monotonic() < end, f'{address} did not load'
            self._receive()

    def evaluate(self, expression: str) -> Any:
        """Evaluates JavaScript and returns its value."""
        evaluation = self.call('Runtime.evaluate', expression=expression, returnByValue=True)
        assert 'exceptionDetails' not in evaluation, evaluation
        return evaluation['result'].get('value')

    def console_messages(self) -> list[str]:
        """Console messages, log entries and uncaught exceptions of the page."""
        methods = ('Log.entryAdded', 'Runtime.consoleAPICalled', 'Runtime.exceptionThrown')
        return [json.dumps(each['params']) for each in self.events if each['method'] in methods]

    def requested_urls(self) -> list[str]:
        """URLs that the page requested, without data URLs."""
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
    """Starts a browser and yields its only tab."""
    assert EXECUTABLE is not None
    process = subprocess.Popen(
        [EXECUTABLE, *_FLAGS, f'--user-data-dir={profile}', 'about:blank'],
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
    """WebSocket URL of the only tab; waits until the browser has written its port."""
    file, end = profile / 'DevToolsActivePort', time.monotonic() + _TIMEOUT
    while not (file.is_file() and file.read_text().count('\n')):
        assert time.monotonic() < end, 'the browser did not start'
        time.sleep(0.05)
    port = int(file.read_text().splitlines()[0])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        with opener.open(f'http://127.0.0.1:{port}/json/list', timeout=_TIMEOUT) as answer:
            pages = [each for each in json.load(answer) if each['type'] == 'page']
        if pages:
            return str(pages[0]['webSocketDebuggerUrl'])
        assert time.monotonic() < end, 'the browser has no tab'
        time.sleep(0.05)
