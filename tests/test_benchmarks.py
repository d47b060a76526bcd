"""Benchmark scripts import; they are run by hand."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / 'benchmarks'


@pytest.mark.parametrize('script', sorted(path.stem for path in BENCHMARKS.glob('*.py')))
def test_benchmark_can_be_imported(script, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)

    importlib.import_module(script)
