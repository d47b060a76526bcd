"""Raises an exception at SIGTERM, so that work is cleaned up as after Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM was received. A KeyboardInterrupt is not caught by `except Exception`."""


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """Raises Terminated at the first SIGTERM; further ones are ignored during clean-up.

    Does nothing outside the main thread, because Python handles signals only there.
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
