import json
from collections.abc import Sequence
from pathlib import Path

import click.testing
import pytest
from metadata_recorder import Recorder

from common.features import CLASSES_FILE
from components.pusher.serving_folder import About, versions_in
from components.pusher.versions import push
from pipeline.config.recipe import Recipe
from pipeline.models.provenance import Provenance
from pipeline_runner import main


class Pets:
    """The recipe `pets` with recorded runs, whose models have files, and a serving folder."""

    def __init__(self, workdir: Path, recorder: Recorder) -> None:
        self.recipe = Recipe(name='pets', workdir=workdir)
        self.recorder, self.store = recorder, recorder.store
        recorder.folder = str(self.recipe.artifacts_directory / 'Trainer' / 'model')
        self.serving = self.recipe.serving_directory

    def train(self, spans, *, blessed=True, **options):
        """An evaluated model that is not pushed."""
        options.setdefault('pushed', False if blessed else None)
        model = self.recorder.run(spans, blessed=blessed, **options)
        served = Path(model.uri) / 'Format-Serving'
        (served / 'variables').mkdir(parents=True, exist_ok=True)
        (served / 'saved_model.pb').write_text(f'graph of {model.id}')
        for name in ('variables.index', 'variables.data-00000-of-00001'):
            (served / 'variables' / name).write_text(f'weights of {model.id}')
        return model

    def push(self, model, extra_files=None, **about):
        """Pushes a model; returns the folder of the version."""
        values = {'recipe': 'pets', 'model': model.uri, 'accuracy': 0.9, **about}
        served = Path(model.uri) / 'Format-Serving'
        note = About.model_validate(values)
        return push(served, self.serving, keep=9, about=note, extra_files=extra_files).folder

    @property
    def provenance(self):
        return Provenance(self.store, self.recipe.name)

    @property
    def versions(self):
        return versions_in(self.serving)

    @property
    def live(self):
        return self.versions[-1]


@pytest.fixture
def recorder() -> Recorder:
    """Records runs in ML Metadata."""
    return Recorder()


@pytest.fixture
def pets(tmp_path, recorder) -> Pets:
    return Pets(tmp_path, recorder)


@pytest.fixture
def add_version():
    """`add_version(serving, classes)` adds a version without a model that can be loaded."""

    def add(serving: Path, classes: Sequence[str]) -> None:
        file = serving / '1' / CLASSES_FILE
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(classes))
        (serving / '1' / 'saved_model.pb').touch()

    return add


@pytest.fixture
def invoke(tmp_path):
    """`invoke('runs', '--json')` calls a command with the recipe `pets` and workdir `tmp_path`.

    `runs` lists all recipes there.
    """

    def call(*words: object) -> click.testing.Result:
        options = [] if words[0] == 'runs' else ['--config=demo', '--set=name=pets']
        command = [*map(str, words), *options, f'--workdir={tmp_path}']
        return click.testing.CliRunner().invoke(main, command)

    return call
