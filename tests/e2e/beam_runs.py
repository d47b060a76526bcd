"""Runs the Beam components on a cluster, and compares their outputs with those in memory."""

import base64
import itertools
import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
import tensorflow_model_analysis as tfma
from free_ports import start_on_free_port
from google.protobuf import json_format
from tfx.dsl.compiler import constants

from common import features
from pipeline.config.recipe import Recipe
from pipeline.execution.launch import compile_pipeline, launch_node
from pipeline.graph import create_pipeline

SMALL = {
    'data.source': 'folder',
    'trainer.image_size': 32,
    'trainer.alpha': 0.35,
    'trainer.weights': 'random',
    'trainer.batch_size': 16,
    'trainer.feature_extraction.epochs': 1,
    'trainer.fine_tune.epochs': 0,
    'evaluation.minimum': 0.0,
}
CLASSES = ('cats', 'dogs')
INGESTION = 'ImageExampleGen'
COMPONENTS = (INGESTION, 'StatisticsGen', 'Evaluator')
ROOT = Path(__file__).parents[2]

_launches = itertools.count()

Outputs = dict[str, dict[str, Path]]  # folders by component and key


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(('127.0.0.1', port)) == 0


def wait_for(condition: Callable[[], Any], process: subprocess.Popen, log: Path) -> None:
    """Waits until a process is ready; fails with its log if it ends or takes two minutes."""
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


@contextmanager
def worker_pool(folder: Path, environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Starts workers that have `common`, `components` and `trainer`.

    Yields the pool's process and its port.
    """
    code = folder / 'code'
    code.mkdir()
    (code / 'pipeline.py').write_text("raise ImportError('pipeline is not on the workers')")
    environment = {**environment, 'PYTHONPATH': f'{code}:{ROOT}'}
    command = [sys.executable, '-m', 'components.beam_workers']

    def start(port: int) -> subprocess.Popen:
        words = [*command, f'--address=127.0.0.1:{port}']
        with (folder / 'workers.log').open('w') as log:
            return subprocess.Popen(words, stdout=log, stderr=log, cwd=folder, env=environment)

    pool, port = start_on_free_port(start, listens, folder / 'workers.log')
    try:
        yield pool.pid, port
    finally:
        pool.terminate()
        pool.wait()


def launch(
    recipe: Recipe, options: dict[str, Any], images: int, names: Sequence[str], run_id: str
) -> Outputs:
    """Runs components on a cluster, on the inputs of an earlier run; the outputs are new."""
    values = recipe.model_dump()
    values['beam'] = {'runner': 'portable', 'options': options}
    if INGESTION in names:
        # Otherwise records of an earlier launch are reused.
        values['data']['checks']['max_bad_share'] = 0.5 + next(_launches) / 1000
    pipeline = create_pipeline(Recipe.model_validate(values), CLASSES, images=images)
    ir = compile_pipeline(pipeline, run_id)
    nodes = [each.pipeline_node for each in ir.nodes]
    chosen = [each for each in nodes if each.node_info.id in names]
    for node in chosen:
        node.execution_options.caching_options.enable_cache = False
        for context in node.contexts.contexts:  # otherwise the node has run in this run already
            if context.type.name == constants.PIPELINE_RUN_CONTEXT_TYPE_NAME:
                context.name.field_value.string_value = f'on a cluster, {uuid.uuid4()}'
    return outputs({each.node_info.id: launch_node(ir, each.node_info.id) for each in chosen})


def outputs(results) -> Outputs:
    return {
        name: {key: Path(artifacts[0].uri) for key, artifacts in result.outputs.items()}
        for name, result in results.items()
    }


def assert_equal_records(actual: Path, expected: Path) -> int:
    """Compares the bytes of all files of records; returns their number."""
    files = sorted(each.relative_to(expected) for each in expected.glob('Split-*/*'))
    assert {each.parent.name for each in files} == {f'Split-{each}' for each in features.SPLITS}
    assert files == sorted(each.relative_to(actual) for each in actual.glob('Split-*/*'))
    for file in files:
        assert (actual / file).read_bytes() == (expected / file).read_bytes()
        assert not (actual / file).samefile(expected / file)
    return len(files)


def assert_equal_statistics(actual: Path, expected: Path, split: str) -> int:
    """Compares all statistics of a split; returns its number of images."""
    one, other = (
        tfdv.load_stats_binary(str(each / f'Split-{split}' / 'FeatureStats.pb'))
        for each in (actual, expected)
    )
    assert_equal(json_format.MessageToDict(one), json_format.MessageToDict(other))
    return other.datasets[0].num_examples


def assert_equal_metrics(actual: Path, expected: Path) -> int:
    """Compares the metrics of all slices; returns the number of slices."""
    one, other = metrics(actual), metrics(expected)
    assert_equal(one, other)
    return len(other)


def assert_equal(actual: dict, expected: dict) -> None:
    """Compares floats to 1e-6, because the order of sums differs, and everything else exactly."""
    tf.nest.assert_same_structure(actual, expected)
    leaves = list(zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True))
    assert any(isinstance(wanted, float) for _, wanted in leaves)
    for found, wanted in leaves:
        if isinstance(wanted, float):
            assert found == pytest.approx(wanted, rel=1e-6, nan_ok=True)
        else:
            assert found == wanted


def metrics(folder: Path) -> dict:
    found = tfma.load_eval_result(str(folder)).get_metrics_for_all_slices()
    for values in found.values():
        values['curves'] = json.loads(base64.b64decode(values['curves']['bytesValue']))
    return found
