"""Thirty daily ticks of scheduled retraining with simulated dates and real runs."""

import dataclasses
import datetime
import hashlib
import re
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import PIL.Image
import pytest

from components.pusher.serving_folder import versions_in
from pipeline.config.recipe import Recipe, load_recipe
from pipeline.metadata_store import open_store
from pipeline.models.lineage import trace
from pipeline.models.model_list import list_models
from pipeline.models.provenance import Provenance
from pipeline.retraining.tick import run_if_new
from pipeline.run.record import Run, read_runs

# Runs happen in this process, where the libraries raise many warnings.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings('ignore'),
    pytest.mark.timeout(1200),
]

REPOSITORY = Path(__file__).parents[2]
RECIPE = """
description: bright and dark squares
data:
  source: folder
  window: 3
  test_window: 1
  min_test_images: 1
  splits: {train: 2, eval: 1, test: 1}
trainer:
  image_size: 32
  alpha: 0.35
  batch_size: 16
  warm_start: live
  precision: float32
  head: {dropout: 0}
  feature_extraction: {epochs: 20, learning_rate: 0.03}
evaluation:
  minimum: 0.3
  margin: 0.5
  robustness: {images: 0}
retrain: {min_new_images: 20, max_attempts: 1}
"""
# Days with an event, most of them a new span. On all other days nothing is new.
FIRST, CORRUPT, STILL_CORRUPT, REPAIRED, DRIFTED, WORSE = 1, 3, 4, 5, 9, 18
KILLED, KILLED_PUSHING, AFTER = 13, 14, 15  # one span
FEW, MORE, FEW_AGAIN = 22, 25, 28
BLESSED = (FIRST, REPAIRED, DRIFTED, MORE)  # KILLED_PUSHING pushes too but records no outcome
BY_DAY = {
    **dict.fromkeys(range(1, 31), 'nothing new'),
    **dict.fromkeys(BLESSED, 'blessed'),
    CORRUPT: 'failed',
    STILL_CORRUPT: 'failed',
    KILLED: 'interrupted',
    KILLED_PUSHING: 'interrupted',
    WORSE: 'not blessed',
}
UNTRAINED = [('trainer.feature_extraction.learning_rate', 1e-9), ('trainer.warm_start', 'none')]
TICK = """
import datetime, os, signal, sys
from pathlib import Path
from pipeline.config.recipe import load_recipe
from pipeline.retraining.tick import run_if_new
path, weights, now, *pushing = sys.argv[1:]
if pushing:  # killed after the model is copied and before the push is recorded
    from components.pusher import component
    component.set_custom_properties = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
recipe = load_recipe(path, [('trainer.weights', weights)])
run_if_new(recipe, verbose=True, now=datetime.datetime.fromisoformat(now))
"""


@dataclasses.dataclass
class Month:
    """Thirty days of a recipe.

    Attributes:
        recipe: the recipe, without the overrides of single days.
        ticks: ticks by day.
        model: hash of the live model at the end of each day.
    """

    recipe: Recipe
    ticks: dict[int, Run]
    model: dict[int, str | None]

    @property
    def versions(self) -> list[Path]:
        return versions_in(self.recipe.serving_directory)


@pytest.fixture(scope='module')
def weights(tmp_path_factory) -> Path:
    """Random weights that preserve the brightness of an image up to the last layer.

    With the default initial values the signal vanishes, and a head alone learns nothing.
    """
    random = np.random.default_rng(0)
    network = keras.applications.MobileNetV2((32, 32, 3), 0.35, include_top=False, weights=None)
    for layer in network.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.set_weights([np.full(layer.kernel.shape, 1 / 9)])
        elif isinstance(layer, keras.layers.Conv2D):
            scale = np.sqrt(2 / np.prod(layer.kernel.shape[:3]))
            layer.set_weights([random.normal(0, scale, layer.kernel.shape)])
    path = tmp_path_factory.mktemp('weights') / 'bright.weights.h5'
    network.save_weights(path)
    return path


@pytest.fixture(scope='module')
def month(tmp_path_factory, make_image_folder, weights) -> Month:
    folder = tmp_path_factory.mktemp('month')
    data = folder / 'data'
    path = folder / 'squares.yaml'
    path.write_text(
        f'{RECIPE}\nworkdir: {folder / "runs"}\n'.replace(
            'source: folder', f'source: folder\n  path: {data}'
        )
    )
    recipe = load_recipe(str(path), [('trainer.weights', str(weights))])
    truncated = [
        data / 'span-2' / name / f'{name}-2-{number}.jpg'
        for name in ('cats', 'dogs')
        for number in range(4)
    ]
    start = datetime.datetime.now(datetime.timezone.utc)

    def add_span(span: int, per_class: int = 24) -> Path:
        return make_image_folder(data / f'span-{span}', per_class, size=(40, 32), seed=span)

    def add_corrupted_span() -> None:
        add_span(2)
        for image in truncated:
            image.write_bytes(image.read_bytes()[:300])

    def repair() -> None:
        for image in truncated[1:]:
            image.unlink()

    events = {
        FIRST: lambda: add_span(1),
        CORRUPT: add_corrupted_span,
        REPAIRED: repair,
        DRIFTED: lambda: _darken(add_span(3)),
        KILLED: lambda: add_span(4),
        WORSE: lambda: add_span(5),
        FEW: lambda: add_span(6, per_class=3),
        MORE: lambda: add_span(7),
        FEW_AGAIN: lambda: add_span(8, per_class=3),
    }
    live, quiet = {}, {}
    for day in range(1, 31):
        events.get(day, lambda: None)()
        now = start + datetime.timedelta(days=day)
        if day == KILLED:
            _kill_during_training([str(path), str(weights), now.isoformat()])
        elif day == KILLED_PUSHING:
            _kill_during_push([str(path), str(weights), now.isoformat()])
        else:
            changes = [('trainer.weights', str(weights)), *(UNTRAINED if day == WORSE else [])]
            tick = run_if_new(load_recipe(str(path), changes), now=now)
            if tick.result == 'nothing new':
                quiet[day] = tick
        live[day] = next(map(_hash, reversed(versions_in(recipe.serving_directory))), None)
    runs = {(each.started - start).days: each for each in read_runs(recipe.home)}
    return Month(recipe, {**quiet, **runs}, live)


def _darken(span: Path) -> None:
    for file in span.rglob('*.jpg'):
        pixels = np.asarray(PIL.Image.open(file)) * 0.4
        PIL.Image.fromarray(pixels.astype(np.uint8)).save(file)


def _kill_during_training(arguments: list[str]) -> None:
    command = [sys.executable, '-u', '-c', TICK, *arguments]
    with subprocess.Popen(
        command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            seen = any(line.startswith('Trainer ...') for line in process.stdout)
        finally:
            process.kill()
    assert seen


def _kill_during_push(arguments: list[str]) -> None:
    command = [sys.executable, '-c', TICK, *arguments, 'pushing']
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stdout


def _hash(version: Path) -> str:
    (variables,) = version.glob('variables/variables.data-*')
    return hashlib.sha256(variables.read_bytes()).hexdigest()


def test_every_tick_has_outcome_decision_and_reason(month):
    assert {day: tick.result for day, tick in sorted(month.ticks.items())} == BY_DAY
    assert all(tick.decision for tick in month.ticks.values())


def test_ticks_without_new_data_start_no_run(month):
    quiet = [tick for tick in month.ticks.values() if tick.result == 'nothing new']
    assert all(tick.model is None for tick in quiet)
    store = open_store(month.recipe.metadata, month.recipe.home)
    runs = store.get_contexts_by_type('pipeline_run')
    assert len(runs) == 30 - len(quiet)


def test_each_blessed_model_is_pushed_as_one_version(month):
    pushed = [Path(month.ticks[day].folder) for day in BLESSED]
    (killed,) = set(month.versions) - set(pushed)
    assert pushed == [version for version in month.versions if version != killed]
    assert pushed[2] < killed < pushed[3]
    assert all(tick.folder is None for day, tick in month.ticks.items() if day not in BLESSED)


def test_no_model_is_pushed_twice(month):
    assert len({_hash(version) for version in month.versions}) == len(BLESSED) + 1
    store = open_store(month.recipe.metadata, month.recipe.home)
    provenance, serving = Provenance(store, 'squares'), month.recipe.serving_directory
    found = [trace(provenance, serving, version.name).model for version in month.versions]
    assert len({each.artifact for each in found}) == len(BLESSED) + 1


def test_live_model_changes_only_when_a_model_is_blessed(month):
    changed = [day for day in range(2, 31) if month.model[day] != month.model[day - 1]]
    assert [FIRST, *changed] == sorted([*BLESSED, KILLED_PUSHING])

    assert month.ticks[MORE].folder == str(month.versions[-1])
    assert month.ticks[MORE].spans == (5, 6, 7)


def test_ticks_fail_until_the_corrupted_span_is_repaired(month):
    for day in (CORRUPT, STILL_CORRUPT):
        tick = month.ticks[day]
        assert tick.exit_code == 1
        assert tick.reasons[0].startswith(
            '8 of 96 images (8.3%) cannot be used, more than the 5.0%'
        )
    assert month.ticks[REPAIRED].spans == (1, 2)


def test_model_retrained_after_drift_is_better_than_the_live_model(month):
    tick = month.ticks[DRIFTED]
    assert tick.accuracy > tick.gate.comparison.reference


def test_tick_after_a_killed_push_finds_the_pushed_model(month):
    killed, after = month.ticks[KILLED], month.ticks[AFTER]
    assert killed.new == month.ticks[KILLED_PUSHING].new == (4,)
    assert after.spans == (2, 3, 4)
    assert after.new == ()
    pushed = {each.version: each.note.about.spans for each in list_models(month.recipe)}
    assert pushed[int(month.versions[3].name)] == (2, 3, 4)


def test_worse_candidate_does_not_replace_the_live_model(month):
    tick = month.ticks[WORSE]
    assert tick.exit_code == 0
    assert re.search(r'reference [01]\.\d+ on the same 9 images', tick.reasons[0])
    assert tick.accuracy < tick.gate.comparison.reference


def test_small_span_is_not_trained_until_more_images_arrive(month):
    assert 'min_new_images is 20' in month.ticks[FEW].decision
    assert month.ticks[MORE].new == (6, 7)
    assert '6 images in span 8; min_new_images is 20' in month.ticks[30].decision
