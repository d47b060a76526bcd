"""The two supported stacks of libraries, and each place where they differ.

current: TFX 1.21 on CPython 3.12 or 3.13; needs glibc 2.39 or newer.
legacy: TFX 1.16 on CPython 3.10. Release 0.2 is the last with it; then what `LEGACY` guards can go.
"""

import importlib.machinery
import os
import sys
import types
from collections.abc import Sequence

from common import console

LEGACY = sys.version_info < (3, 12)
_LOG_LEVEL = 'TF_CPP_MIN_LOG_LEVEL'


def describe() -> str:
    """Names the stack, as in `TFX 1.21.0, TensorFlow 2.21.0, Python 3.13`; imports neither."""
    return f'{libraries()}, Python {sys.version_info.major}.{sys.version_info.minor}'


def libraries() -> str:
    """Names the libraries that results depend on, as in `TFX 1.21.0, TensorFlow 2.21.0`."""
    from importlib.metadata import PackageNotFoundError, version  # 30 ms; `--help` does without

    try:
        tensorflow = version('tensorflow')
    except PackageNotFoundError:  # as in the container image
        tensorflow = version('tensorflow-cpu')
    return f'TFX {version("tfx")}, TensorFlow {tensorflow}'


def forbid_pickles_in_arrow() -> None:
    """Prevents files from making pyarrow unpickle objects, which runs code (CVE-2023-47248).

    pyarrow 14.0.1 and newer do not; legacy has 10.
    """
    if LEGACY:
        import pyarrow_hotfix  # noqa: F401


def set_tensorflow_log_level(level: int) -> None:
    """Sets the lowest level of TensorFlow's C++ log lines, unless the environment sets it.

    0 is INFO, 3 is FATAL. Has no effect after the import of TensorFlow.

    TensorFlow 2.21 reads the level after its libraries have logged INFO lines at import. For
    levels above 0, standard error is therefore hidden during the import. This can go when
    `TF_CPP_MIN_LOG_LEVEL=1 python -c 'import tensorflow'` prints nothing.
    """
    if os.environ.setdefault(_LOG_LEVEL, str(level)) != '0' and _QuietLoader not in sys.meta_path:
        sys.meta_path.insert(0, _QuietLoader)


class _QuietLoader(importlib.machinery.SourceFileLoader):
    """Finder on `sys.meta_path`, and loader, that hides standard error while TensorFlow loads."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != 'tensorflow':
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec and spec.origin:
            spec.loader = cls(name, spec.origin)
        return spec

    def exec_module(self, module: types.ModuleType) -> None:
        with console.silent_stderr():
            super().exec_module(module)
