"""Imports of large libraries, in less time."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Lets the block import without the garbage collector, which then leaves out what is there.

    TensorFlow and TFX make some hundred thousand objects that stay to the end. Looking at them over
    and over takes a quarter of the time of their import, and more while a model is traced.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
