"""UnlabelledExampleGen and FolderInferrer in TFX runs."""

import csv
import datetime
import logging
import shutil
from pathlib import Path

import pytest
from image_bytes import jpeg, quarters
from tfx.components import BulkInferrer
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from common.manual_override import OVERRIDE_FILE, ManualOverride, write_override
from components.image_example_gen.ingestion.quarantine import read_quarantined
from components.image_example_gen.inspection.check_config import CheckConfig
from components.inference.folder_inferrer import TABLE, FolderInferrer
from components.inference.unlabelled_example_gen import UnlabelledExampleGen
from pipeline.local.runner import ProgressDagRunner

CHECKS = CheckConfig(min_side=16).model_dump_json()


class Stage:
    """Runs of the two nodes with a folder of images and a model."""

    def __init__(self, folder, make_saved_model):
        self._folder = folder
        self.images, self.model = folder / 'images', folder / 'model'
        make_saved_model(self.model / 'Format-Serving')

    def run(self, blessed=True):
        model = Importer(str(self.model), standard_artifacts.Model).with_id('model')
        blessing = Importer(
            f'{self._folder}/blessing-{blessed}',
            standard_artifacts.ModelBlessing,
            custom_properties={'blessed': int(blessed)},
        ).with_id('blessing')
        unlabelled = UnlabelledExampleGen(path=str(self.images), checks=CHECKS, code='1')
        inputs = unlabelled.outputs['examples'], model.outputs['result'], blessing.outputs['result']
        inferrer = FolderInferrer(*inputs, code='1').with_id(BulkInferrer.__name__)
        database = sqlite_metadata_connection_config(str(self._folder / 'metadata.sqlite'))
        runner = ProgressDagRunner()
        runner.run(
            Pipeline(
                'stage',
                str(self._folder / 'artifacts'),
                components=[model, blessing, unlabelled, inferrer],
                enable_cache=True,
                metadata_connection_config=database,
            )
        )
        return runner.results

    def predictions(self, results):
        """Class and probability by file, read from the CSV file; empty without it."""
        (examples,) = results['BulkInferrer'].outputs['output_examples']
        table = Path(examples.uri, TABLE)
        rows = csv.DictReader(table.read_text().splitlines()) if table.exists() else ()
        return {row['file']: (row['class'], float(row['confidence'])) for row in rows}


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
    results = stage.run()
    return results, stage.predictions(results)


def test_predicts_usable_and_quarantines_unusable_images(first):
    results, predictions = first
    files = {f'{name}/{name}-0-{n}.jpg': name for name in ('cats', 'dogs') for n in range(2)}
    assert predictions.keys() == {*files, 'cmyk.jpg'}
    for file, name in files.items():
        assert predictions[file] == (name, pytest.approx(0.95, abs=0.05))
    (quarantine,) = results['UnlabelledExampleGen'].outputs['quarantine']
    lines = read_quarantined(Path(quarantine.uri))
    reasons = {line['source']: line['reason'] for line in lines}
    assert reasons == {'cats/cut.jpg': 'truncated', 'empty.png': 'empty'}


def test_caches_predictions_until_images_change(stage, first):
    again = stage.run()
    assert again['UnlabelledExampleGen'].cached
    assert again['BulkInferrer'].cached
    assert stage.predictions(again) == first[1]

    shutil.copy(stage.images / 'dogs' / 'dogs-0-0.jpg', stage.images / 'new.jpg')
    third = stage.run()
    assert not third['BulkInferrer'].cached
    expected = first[1]['dogs/dogs-0-0.jpg']
    assert stage.predictions(third)['new.jpg'] == pytest.approx(expected)


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

    predictions = stage.predictions(blessed)
    for file, expected in first[1].items():
        assert predictions[file] == pytest.approx(expected)
    assert stage.predictions(refused) == stage.predictions(withdrawn) == {}
