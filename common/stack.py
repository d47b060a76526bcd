"""The two supported stacks of libraries, and each place where they differ.

current: TFX 1.21 on CPython 3.12 or 3.13; needs glibc 2.38 or newer.
legacy: TFX 1.16 on CPython 3.10. When it is dropped, what `LEGACY` guards can go.
"""

import sys
from importlib import metadata

LEGACY = sys.version_info < (3, 12)


def describe() -> str:
    """Names the stack by versions: `TFX 1.21.0, TensorFlow 2.21.0`."""
    return f'TFX {metadata.version("tfx")}, TensorFlow {metadata.version("tensorflow")}'


def forbid_pickles_in_arrow() -> None:
    """Prevents files from making pyarrow unpickle objects, which runs code (CVE-2023-47248).

    pyarrow 14.0.1 and newer do not; legacy has 10.
    """
    if LEGACY:
        import pyarrow_hotfix  # noqa: F401
