"""Controls headless Chromium over the DevTools protocol, through a pair of pipes.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--remote-debugging-pipe')
# JavaScript: `contrast(element)` returns the contrast of its text as in WCAG 2.1, and the text.
CONTRAST = """const numbers = text => (text.match(/[\\d.]+/g) || []).map(Number);
const over = ([r, g, b, alpha = 1], under) =>
  [r, g, b].map((each, i) => each * alpha + under[i] * (1 - alpha));
const background = element => {
  if (!element) return [255, 255, 255];
  const colour = numbers(getComputedStyle(element).backgroundColor);
  return colour[3] === 0 ? background(element.parentElement)
                         : over(colour, background(element.parentElement));
};
const luminance = colour => colour.map(c => c / 255)
  .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const contrast = element => {
  const behind = background(element);
  const [a, b] = [over(numbers(getComputedStyle(element).color), behind), behind].map(luminance);
  return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.textContent.trim()];
};"""


class Page:
    """A tab; `events` are the messages that arrived without a request."""

    def __init__(self, requests: int, responses: int) -> None:
        self._requests = requests
        self._responses = open(responses, 'rb', buffering=0)  # noqa: SIM115  closed by `open_page`
        self._numbers, self._buffer, self._session = itertools.count(1), b'', None
        self.events: list[dict[str, Any]] = []
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        attached = self.call('Target.attachToTarget', targetId=target, flatten=True)
        self._session = attached['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'DOM', 'Network'):
            self.call(f'{domain}.enable')

    def close(self) -> None:
        self._responses.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command, and returns its result."""
        message = {'id': next(self._numbers), 'method': method, 'params': parameters}
        if self._session:
            message['sessionId'] = self._session
        data = json.dumps(message).encode() + b'\0'
        while data:
            data = data[os.write(self._requests, data) :]
        while (reply := self._receive()).get('id') != message['id']:
            self.events.append(reply)
        if 'error' in reply:
            raise RuntimeError(f'{method}: {reply["error"]["message"]}')
        return reply['result']

    def _receive(self) -> dict[str, Any]:
        while b'\0' not in self._buffer:
            received = self._responses.read(2**16)
            if not received:
                raise RuntimeError('Chromium ended')
            self._buffer += received
        line, self._buffer = self._buffer.split(b'\0', 1)
        return json.loads(line)

    def evaluate(self, script: str) -> Any:
        """Value of a JavaScript expression; waits for a promise."""
        result = self.call(
            'Runtime.evaluate', expression=script, awaitPromise=True, returnByValue=True
        )
        if 'exceptionDetails' in result:
            raise RuntimeError(str(result['exceptionDetails']))
        return result['result'].get('value')

    def resize(self, width: int, *, dark: bool = False) -> None:
        """Emulates a screen."""
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=844,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
        self.call('Emulation.setEmulatedMedia', features=[scheme])

    def choose_files(self, selector: str, files: list[Path]) -> None:
        """Chooses files in an input, as the dialog of the browser does."""
        root = self.call('DOM.getDocument')['root']['nodeId']
        node = self.call('DOM.querySelector', nodeId=root, selector=selector)['nodeId']
        self.call('DOM.setFileInputFiles', nodeId=node, files=[*map(str, files)])

    def screenshot(self, file: Path) -> None:
        """Writes the whole page as PNG."""
        png = self.call('Page.captureScreenshot', captureBeyondViewport=True)['data']
        file.write_bytes(base64.b64decode(png))


@contextlib.contextmanager
def open_page(url: str, profile: Path) -> Iterator[Page]:
    """Opens a page and waits until it is loaded."""
    to_read, requests = os.pipe()
    responses, to_write = os.pipe()
    # Chromium reads requests from file descriptor 3, and writes responses to 4.
    pipes = f'exec "$@" 3<&{to_read} 4>&{to_write}'
    command = [str(CHROMIUM), *FLAGS, f'--user-data-dir={profile}']
    process = subprocess.Popen(
        ['bash', '-c', pipes, 'bash', *command],
        pass_fds=(to_read, to_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        page = Page(requests, responses)
        try:
            page.call('Page.navigate', url=url)
            page.evaluate(
                "document.readyState === 'complete' || new Promise(done => onload = () => done())"
            )
            yield page
        finally:
            page.close()
    finally:
        process.terminate()
        process.wait()
        os.close(requests)
