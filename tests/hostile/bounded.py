"""Limits the memory and the CPU time of a block of a test; its wall time has pytest's timeout."""

import contextlib
import time
from pathlib import Path


@contextlib.contextmanager
def bounded(*, megabytes=300, seconds=30):
    """Fails if this process takes more memory than before the block, or more CPU seconds."""
    Path('/proc/self/clear_refs').write_text('5')  # resets the peak
    before, start = _megabytes('VmRSS'), time.process_time()
    yield
    assert _megabytes('VmHWM') - before < megabytes
    assert time.process_time() - start < seconds


def _megabytes(key):
    status = dict(line.split(':') for line in Path('/proc/self/status').read_text().splitlines())
    return int(status[key].split()[0]) * 1.024e-3
