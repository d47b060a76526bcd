"""SIGTERM as an exception, so that whatever goes on is abandoned as cleanly as with Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM came. As with Ctrl-C, nothing that catches `Exception` holds it up."""


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """Raises Terminated at the first SIGTERM; more of them do not disturb the clean-up.

    Does nothing in another thread than the main one, where Python delivers no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated
