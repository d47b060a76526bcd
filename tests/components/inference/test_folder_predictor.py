"""FolderPredictor in TFX runs, and its table."""

import csv
import datetime
import logging
import shutil
from pathlib import Path

import pytest
from image_bytes import jpeg, quarters
from tfx.types.standard_artifacts import Model, ModelBlessing
from tfx_runs import imported, run_nodes

from common.errors import DataError
from common.manual_override import OVERRIDE_FILE, ManualOverride, write_override
from components.image_example_gen.inspection.check_config import CheckConfig
from components.inference.folder_predictor import (
    FOLDER_PREDICTIONS,
    TABLE,
    FolderPredictor,
    write_predictions,
)
from components.inference.inference_config import images_in

CHECKS = CheckConfig(min_side=16)


def rows_of(table):
    """Rows of the table by path; none if there is no table."""
    lines = table.read_text().splitlines() if table.exists() else ()
    return {row['path']: row for row in csv.DictReader(lines)}


class Stage:
    """Runs of the node with a folder of images and a model."""

    def __init__(self, folder, make_saved_model):
        self._folder = folder
        self.images, self.model = folder / 'images', folder / 'model'
        make_saved_model(self.model / 'Format-Serving')

    def run(self, blessed=True):
        """Whether the node was cached, and the rows of its table by path in the folder."""
        model = imported('model', self.model, Model)
        folder = self._folder / f'blessing-{blessed}'
        blessing = imported('blessing', folder, ModelBlessing, blessed=int(blessed))
        predictor = FolderPredictor(
            model=model.outputs['result'],
            model_blessing=blessing.outputs['result'],
            path=str(self.images),
            checks=CHECKS.model_dump(),
        )
        node = run_nodes(self._folder, model, blessing, predictor)['FolderPredictor']
        rows = rows_of(Path(node.outputs[FOLDER_PREDICTIONS][0].uri, TABLE))
        return node.cached, {path.removeprefix(f'{self.images}/'): rows[path] for path in rows}


@pytest.fixture(scope='module')
def stage(tmp_path_factory, make_image_folder, make_saved_model):
    """Two images per class, a CMYK image and two unusable images."""
    made = Stage(tmp_path_factory.mktemp('stage'), make_saved_model)
    make_image_folder(made.images, per_class=2)
    (made.images / 'cmyk.jpg').write_bytes(jpeg(quarters().convert('CMYK')))
    (made.images / 'cats' / 'cut.jpg').write_bytes(jpeg()[:500])
    (made.images / 'empty.png').touch()
    (made.images / 'notes.txt').write_text('not an image')
    return made


@pytest.fixture(scope='module')
def first(stage):
    return stage.run()[1]


def test_predicts_usable_images_and_gives_the_reason_for_others(first):
    files = {f'{name}/{name}-0-{n}.jpg': name for name in ('cats', 'dogs') for n in range(2)}
    assert first.keys() == {*files, 'cmyk.jpg', 'cats/cut.jpg', 'empty.png'}
    for file, name in files.items():
        assert (first[file]['class'], first[file]['error']) == (name, '')
        assert float(first[file]['confidence']) == pytest.approx(0.95, abs=0.05)
        assert first[file]['confidence'] == first[file][f'p_{name}']
    for file, reason in (('cats/cut.jpg', 'truncated'), ('empty.png', 'empty')):
        assert first[file]['class'] == ''
        assert first[file]['error'].startswith(reason)


def test_caches_predictions_until_images_change(stage, first):
    assert stage.run() == (True, first)

    shutil.copy(stage.images / 'dogs' / 'dogs-0-0.jpg', stage.images / 'new.jpg')
    cached, rows = stage.run()

    assert not cached
    assert rows['new.jpg']['p_dogs'] == first['dogs/dogs-0-0.jpg']['p_dogs']


@pytest.fixture
def override(stage):
    """`override(value)` writes a manual override, which is removed after the test."""
    yield lambda value: write_override(stage.model, value)
    (stage.model / OVERRIDE_FILE).unlink(missing_ok=True)


def test_override_replaces_gate_decision_and_invalidates_cache(stage, first, override, caplog):
    now = datetime.datetime.now(datetime.timezone.utc)
    blessing = ManualOverride(blessed=True, person='eve', reason='a test', moment=now)

    with caplog.at_level(logging.INFO):
        refused = stage.run(blessed=False)
    assert 'no predictions: the model is not blessed' in caplog.text
    override(blessing)
    blessed = stage.run(blessed=False)
    override(blessing.model_copy(update={'blessed': False}))
    withdrawn = stage.run()

    assert blessed[1].items() >= first.items()
    assert refused[1] == withdrawn[1] == {}


def test_fails_without_usable_images(classifier, tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'a.jpg').write_bytes(b'')

    with pytest.raises(DataError, match=r'none of the images in .* can be used: .*a\.jpg: empty'):
        write_predictions(tmp_path / 'images', classifier, CHECKS, tmp_path / TABLE)


def test_rejects_missing_folder_or_folder_without_images(tmp_path):
    (tmp_path / 'holiday').mkdir()
    (tmp_path / 'holiday' / 'a.jpg').write_bytes(jpeg())
    (tmp_path / 'gone.jpg').symlink_to('nowhere')
    assert [file.name for file in images_in(tmp_path)] == ['holiday/a.jpg']
    for path, problem in (('nowhere', 'does not exist'), ('holiday/a.jpg', 'is not a folder')):
        with pytest.raises(DataError, match=rf'^inference\.path: .* {problem}'):
            images_in(tmp_path / path)
    (tmp_path / 'holiday' / 'a.jpg').unlink()
    with pytest.raises(DataError, match=r'^inference\.path: .* has no images$'):
        images_in(tmp_path)
