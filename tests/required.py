"""Packages that tests need: without them a test is skipped, in CI it fails."""

import importlib
import os
from types import ModuleType
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skips the test; fails it if the variable CI is set, because CI installs what tests need."""
    if os.environ.get('CI'):
        pytest.fail(
            f'{reason}; the variable CI is set, so this is no reason to skip', pytrace=False
        )
    pytest.skip(reason)


def package(name: str) -> ModuleType:
    """Imports a package that is in the locks of both stacks."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing(f'{name} is not installed: {error}')
