import json
import logging
import os
from typing import List  # noqa: UP035

import numpy as np
import pytest
from image_bytes import encoded
from made_images import picture
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from common.artifacts import folder_of
from common.errors import DataError
from common.features import EARLIER, INDEX
from common.metadata_queries import custom_property, read_nodes
from components.image_example_gen.image_example_gen import ImageExampleGen, ImageExampleGenExecutor
from components.image_example_gen.ingestion.ingested import is_ingested, known_fingerprint
from components.image_example_gen.ingestion.quarantine import Quarantine
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.spans import open_window


@component
def Consumer(
    examples: InputArtifact[List[standard_artifacts.Examples]],  # noqa: UP006
    model: OutputArtifact[standard_artifacts.Model],
) -> None:
    """Stands for the components that train, evaluate and push."""


class Runs:
    """Runs of a pipeline in TFX's LocalDagRunner, on a folder of images."""

    def __init__(self, folder, **data):
        self.folder, self.images = folder, folder / 'images'
        self.config = metadata.sqlite_metadata_connection_config(str(folder / 'metadata'))
        self.data = {'source': 'folder', 'path': self.images, 'min_test_images': 1, **data}

    def add(self, *numbers, span=None):
        for number in numbers:
            place = self.images / f'span-{span}' if span else self.images
            file = place / f'class-{number % 2}' / f'{number}.jpg'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(picture(seed=number)))

    def run(self, **data):
        """Runs the pipeline; returns the kinds of the components that were cached."""
        example_gen = ImageExampleGen(DataConfig(**{**self.data, **data}))
        consumer = Consumer(examples=example_gen.outputs['examples'])
        LocalDagRunner().run(
            Pipeline(
                pipeline_name='pets',
                pipeline_root=str(self.folder / 'artifacts'),
                components=[example_gen, consumer],
                enable_cache=True,
                metadata_connection_config=self.config,
            )
        )
        with metadata.Metadata(self.config) as handle:
            newest = max(handle.store.get_contexts_by_type('pipeline_run'), key=lambda run: run.id)
            executions = handle.store.get_executions_by_context(newest.id)
            nodes = read_nodes(handle.store, executions)
        self.example_gen = nodes[0]
        return [node.kind for node in nodes if node.cached]

    def examples(self):
        return self.example_gen.outputs['examples']

    def splits(self):
        """The split of each image of the last run by its digest."""
        index = np.concatenate([np.load(folder_of(each.uri) / INDEX) for each in self.examples()])
        return {bytes(each['sha256']): int(each['split']) for each in index}


ALL = ['ImageExampleGen', 'Consumer']


@pytest.fixture
def runs(tmp_path):
    runs = Runs(tmp_path)
    runs.add(*range(12))
    return runs


def test_unchanged_images_are_cached_before_and_after_growth(runs):
    assert [runs.run() for _ in range(3)] == [[], ALL, ALL]
    (first,), splits = runs.examples(), runs.splits()
    runs.add(12)

    assert [runs.run() for _ in range(2)] == [[], ALL]
    assert [each.id for each in runs.example_gen.inputs[EARLIER]] == [first.id]
    assert custom_property(runs.examples()[0], EARLIER) == str(folder_of(first.uri).parent)
    assert splits.items() < runs.splits().items()


def test_earlier_images_are_cached_and_their_splits_kept(runs):
    runs.run()
    runs.add(12, 14, 16, 18)
    runs.run()
    splits = runs.splits()
    for number in (12, 14):
        (runs.images / 'class-0' / f'{number}.jpg').rename(runs.folder / f'{number}.jpg')
    assert runs.run() == []
    assert runs.splits().items() < splits.items()
    for number in (12, 14):
        (runs.folder / f'{number}.jpg').rename(runs.images / 'class-0' / f'{number}.jpg')
    assert runs.run() == ALL
    assert runs.splits() == splits
    runs.run(splits={'train': 8})  # other shares are for all images
    assert EARLIER not in runs.example_gen.inputs


def test_touched_images_are_the_same(runs):
    examples = runs.folder / 'artifacts' / 'ImageExampleGen' / 'examples'

    def touch(seconds):
        for file in runs.images.rglob('*.jpg'):
            os.utime(file, (seconds, seconds))

    def fingerprint():
        (span,) = open_window(DataConfig(**runs.data))
        return known_fingerprint(span.source, examples, 1)

    def is_known(**keys):
        config = DataConfig(**runs.data, **keys)
        sources = {span.number: span.source for span in open_window(config)}
        return is_ingested(examples, config, sources)

    assert not is_known()
    runs.run(classes=['class-0', 'class-1'])
    assert is_known()
    assert not is_known(checks={'min_side': 17})
    before = custom_property(runs.examples()[0], 'input_fingerprint')

    touch(10)
    assert fingerprint() == before
    assert runs.run(classes=['class-0', 'class-1']) == ALL
    assert runs.run() == []  # linked
    touch(20)
    assert runs.run(checks={'min_side': 17}) == []
    assert custom_property(runs.examples()[0], 'input_fingerprint') == before
    assert fingerprint() == before
    (changed,) = runs.images.glob('*/1.jpg')
    changed.write_bytes(changed.read_bytes()[:-2] + b'\xff\xd8')  # the same size
    assert fingerprint() != before
    assert not is_known()


def test_new_spans_are_ingested_and_earlier_ones_linked(tmp_path, caplog):
    runs = Runs(tmp_path, window=2)
    for span in (1, 2):
        runs.add(*range(span * 10, span * 10 + 10), span=span)
    runs.run()
    assert [each.uri.rpartition('/')[2] for each in runs.examples()] == ['span-1', 'span-2']
    old = folder_of(runs.examples()[1].uri) / INDEX
    assert custom_property(runs.examples()[0], 'other_spans') == '{}'
    runs.add(*range(25, 35), span=3)
    with caplog.at_level(logging.INFO):
        runs.run()

    assert [custom_property(each, 'span') for each in runs.examples()] == [2, 3]
    assert 'span 2: 10 images, linked from an earlier run' in caplog.text
    assert 'span 3: 10 images, new' in caplog.text
    assert 'no longer trained on: 8 images of span 1' in caplog.messages
    (other,) = json.loads(custom_property(runs.examples()[0], 'other_spans'))
    assert other == '1'
    assert (folder_of(runs.examples()[0].uri) / INDEX).samefile(old)


def test_older_spans_are_judged_but_not_trained_on(tmp_path):
    runs = Runs(tmp_path, min_test_images=4, window=1)
    for span in (1, 2, 3):
        runs.add(*range(span * 10, span * 10 + 10), span=span)
    runs.run()

    spans = [
        (custom_property(each, 'span'), custom_property(each, 'judged_only'))
        for each in runs.examples()
    ]
    assert spans == [(2, 1), (3, None)]


def test_class_without_images_in_a_split_and_notes_of_the_source_are_warnings(tmp_path, caplog):
    runs = Runs(tmp_path, checks={'near_distance': 0})
    runs.add(*range(0, 20, 2), 1)
    for number in (2, 4):
        (runs.images / 'class-0' / f'{number}.png').write_bytes(encoded(picture(number), 'PNG'))
    runs.run()

    warnings = [each.message for each in caplog.records if each.name.startswith('components')]
    assert len(warnings) == 2
    assert 'lie beside images of the same name' in warnings[0]
    assert warnings[1].startswith('1 of 2 classes has no images in a split: class-1 (no ')


def test_images_that_changed_after_the_driver_are_an_error(runs):
    outputs = {'examples': [standard_artifacts.Examples()], 'quarantine': [Quarantine()]}
    for key, (artifact,) in outputs.items():
        artifact.uri = str(runs.folder / 'artifacts' / key / '1')
    of_others = '{"1": "of other images"}'
    outputs['examples'][0].set_string_custom_property('input_fingerprint', of_others)
    executor = ImageExampleGenExecutor(BaseBeamExecutor.Context([], tmp_dir=str(runs.folder)))
    with pytest.raises(DataError, match='changed during the run; start again'):
        executor.Do({}, outputs, {'data': DataConfig(**runs.data).model_dump_json()})
