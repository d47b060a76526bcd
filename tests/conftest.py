"""Shared fixtures: images, a small SavedModel, and photographs and weights if available."""

import contextlib
import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bucket_servers
import filelock
import numpy as np
import PIL.Image
import pytest
import required

from common import stack

stack.set_tensorflow_log_level(3)
os.environ.pop('CATDOG_RECIPE', None)
# Servers of the tests are on this machine; a proxy would answer for them.
for name in [name for name in os.environ if name.lower().endswith('_proxy')]:
    del os.environ[name]
os.environ['NO_PROXY'] = os.environ['no_proxy'] = '127.0.0.1,localhost'

MakeImageFolder = Callable[..., Path]
MakeSavedModel = Callable[..., Path]
TESTS = Path(__file__).parent
LONGEST_FIRST = ('trainer', 'e2e')
SHARED_FIXTURES = ('trainer',)  # folders


def pytest_configure(config: pytest.Config) -> None:
    """Refuses a recipe that commands would take instead of the demo."""
    config.addinivalue_line('markers', 'needs(found, reason): skip without it; fail in CI')
    if Path('recipe.yaml').exists():
        raise pytest.UsageError('recipe.yaml in the current folder changes the tests; move it')


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distributes files over processes, and a folder whose tests share fixtures to one of them."""
    from xdist.scheduler import LoadFileScheduling

    class ByFolder(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = Path(super()._split_scope(nodeid))
            shared = [each for each in SHARED_FIXTURES if each in file.parts]
            return shared[0] if shared else str(file)

    return ByFolder(config, log) if config.getoption('dist') == 'loadfile' else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives slow tests more time, and starts long test files first."""

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(TESTS).parts[0]
        return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

    for item in items:
        if item.get_closest_marker('slow') and not item.get_closest_marker('timeout'):
            item.add_marker(pytest.mark.timeout(600))
    if hasattr(config, 'workerinput'):  # a process of pytest-xdist: none runs one alone at the end
        items.sort(key=place)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips, or in CI fails, a test with the mark `needs(found, reason)` if nothing is found."""
    for mark in item.iter_markers('needs'):
        found, reason = mark.args
        if not found:
            required.missing(reason)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Prints the seed of the order where pytest prints no header."""
    if config.get_verbosity() < 0 and config.pluginmanager.hasplugin('randomly'):
        terminalreporter.write_line(f'Using --randomly-seed={config.option.randomly_seed}')


def pytest_collection_finish() -> None:
    """Excludes the imported libraries from garbage collection.

    A run ends the worker processes of the ingestion; here the next run uses them again, as they
    import TensorFlow.
    """
    gc.freeze()
    if component := sys.modules.get('components.image_example_gen.image_example_gen'):
        component.worker_processes = contextlib.nullcontext  # type: ignore[attr-defined]


@pytest.fixture(scope='session', autouse=True)
def archive_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Extracts archives into a temporary folder instead of the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('CATDOG_CACHE', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='session')
def make_image_folder() -> MakeImageFolder:
    """`make_image_folder(path, per_class, classes, size, seed)` writes class folders of JPEGs.

    The classes differ in brightness; all images are different.
    """
    return _make_image_folder


def _make_image_folder(
    path: Path,
    per_class: int,
    classes: tuple[str, ...] = ('cats', 'dogs'),
    size: tuple[int, int] = (64, 48),
    seed: int = 0,
) -> Path:
    random = np.random.default_rng(seed)
    width, height = size
    for brightness, name in zip(np.linspace(60, 190, len(classes)), classes, strict=True):
        (path / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            pixels = random.normal(brightness, 20, (height, width, 3)).clip(0, 255)
            picture = PIL.Image.fromarray(pixels.astype(np.uint8))
            picture.save(path / name / f'{name}-{seed}-{number}.jpg')
    return path


@pytest.fixture(scope='session')
def make_saved_model(tmp_path_factory: pytest.TempPathFactory) -> MakeSavedModel:
    """`make_saved_model(folder)` writes an untrained model for the images of `make_image_folder`.

    Options: `slope`, NaN for a broken model; `explains=False`; `classes=None` for a model without.
    Equal models are copies of one export, by whichever process of pytest-xdist is first.
    """
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if 'PYTEST_XDIST_WORKER' in os.environ else root

    def export(slope: float, explains: bool, classes: tuple[str, ...] | None) -> Path:
        name = f'model-{slope}-{explains}-{"-".join(classes or ())}'
        with filelock.FileLock(shared / f'{name}.lock'):
            if not (shared / name).exists():
                from bright_model import BrightModel  # imports TensorFlow

                BrightModel(slope, explains).export(root / f'partial-{name}', classes)
                (root / f'partial-{name}').rename(shared / name)
        return shared / name

    def make(
        folder: Path,
        slope: float = 0.1,
        explains: bool = True,
        classes: tuple[str, ...] | None = ('cats', 'dogs'),
    ) -> Path:
        return shutil.copytree(export(slope, explains, classes), folder)

    return make


@pytest.fixture(scope='session')
def running_s3_server() -> Iterator[bucket_servers.S3Server]:
    """A server of S3; the environment does not have its address."""
    with bucket_servers.s3_server() as server:
        yield server


@pytest.fixture(scope='session')
def running_gs_server() -> Iterator[str]:
    """The address of a server of Google Cloud Storage; the environment does not have it."""
    with bucket_servers.gs_server() as address:
        yield address


@pytest.fixture
def s3_server(
    running_s3_server: bucket_servers.S3Server, monkeypatch: pytest.MonkeyPatch
) -> bucket_servers.S3Server:
    """A server of S3; the environment has its address and credentials."""
    bucket_servers.set_variables(monkeypatch, running_s3_server.variables)
    return running_s3_server


@pytest.fixture
def gs_server(running_gs_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of Google Cloud Storage; the environment has its address."""
    bucket_servers.set_variables(monkeypatch, bucket_servers.gs_variables(running_gs_server))


@pytest.fixture
def s3_bucket(s3_server: bucket_servers.S3Server) -> Iterator[bucket_servers.Bucket]:
    """An empty bucket of S3."""
    bucket = bucket_servers.Bucket('s3', s3_server)
    s3_server.requests.clear()
    yield bucket
    s3_server.status = '403 Forbidden'
    s3_server.refuse = lambda method, path: False


@pytest.fixture(params=['s3', 'gs'])
def bucket(request: pytest.FixtureRequest) -> bucket_servers.Bucket:
    """An empty bucket of S3, then one of Google Cloud Storage."""
    if request.param == 's3':
        return request.getfixturevalue('s3_bucket')
    request.getfixturevalue('gs_server')
    return bucket_servers.Bucket('gs')


@pytest.fixture(scope='session')
def photographs() -> Path:
    """A folder with photographs of cats and dogs, one folder per class."""
    return _given('cats_and_dogs')


@pytest.fixture(scope='session')
def imagenet_weights() -> Path:
    """Weights of MobileNetV2 1.0 without its top, trained on ImageNet."""
    return _given('weights/mobilenet_v2_1.0_imagenet_no_top.weights.h5')


def _given(name: str) -> Path:
    folder = os.environ.get('CATDOG_DATA')
    if not folder:
        pytest.skip(f'CATDOG_DATA, the folder that holds {name}, is not set')
    path = Path(folder, name)
    if not path.exists():
        pytest.skip(f'{name} is not in CATDOG_DATA={folder}')
    return path


@pytest.fixture(autouse=True)
def _runs_of_shipped_recipes_in_tmp_path(tmp_path, monkeypatch):
    """Tests leave no runs of `demo` in the checkout."""
    from pipeline.config import recipe

    monkeypatch.setattr(recipe, 'shipped_folder', lambda: tmp_path)
