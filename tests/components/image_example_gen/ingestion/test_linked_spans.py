import dataclasses
import os

import apache_beam as beam
import pytest
from made_images import LABELS, memory_source

from common.features import INDEX
from components.image_example_gen.ingestion.quarantine import read_quarantined
from components.image_example_gen.ingestion.span import ingest_spans
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import BadImage

MANIFEST, LIST = 'examples/1/span-1/manifest.json', 'quarantine/1/span-1/quarantined.jsonl'


class Runs:
    """Runs that ingest spans into the folder of their number."""

    def __init__(self, folder):
        self.folder, self.number = folder, 0

    def run(self, earlier=0, spans=(), names=None, **data):
        """Ingests spans; returns whether each is linked from the earlier run."""
        self.number += 1
        records = [self.folder / 'examples' / f'{run}' for run in (earlier, self.number)]
        given = {'labels': dataclasses.replace(LABELS, names=names or {})}
        given |= {'seen': {('', name): 1 for name in names}} if names else {}
        sources = {
            number: dataclasses.replace(memory_source(images, per_shard=5), **given)
            for number, images in enumerate(spans, start=1)
        }
        ingest_spans(
            sources,
            {number: source.fingerprint for number, source in sources.items()},
            DataConfig.model_validate(data),
            str(records[0]) if earlier else '',
            (records[1], self.folder / 'quarantine' / f'{self.number}'),
            beam.Pipeline,
        )
        indexes = [[run / f'span-{number}' / INDEX for run in records] for number in sources]
        return [old.exists() and old.samefile(new) for old, new in indexes]


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


def test_unchanged_spans_are_linked(runs, forty):
    cut = forty[3]._replace(contents=forty[3].contents[:300], filename='cats/cut.jpg')
    one, two, three = forty[:10], [*forty[10:20], cut], forty[20:25]

    runs.run(spans=[one, two])
    assert runs.run(1, spans=[one, two, three]) == [True, True, False]
    assert runs.run(1, spans=[one[:9], two]) == [False, True]
    for keys in (
        {'checks': {'min_side': 17}},
        {'source': 'parquet', 'columns': {'label': 'other'}},  # with the same classes
        {'names': {'cats': 'cats', 'dogs': 'dogs', 'wolves': 'dogs'}},
    ):
        assert runs.run(1, spans=[one, two], **keys) == [False, False]
    moved = {'source': 'folder', 'path': 'moved'}
    for keys in (moved, {**moved, 'window': 2, 'classes': ['cats', 'dogs']}):
        number = runs.number
        assert runs.run(number, spans=[one], **keys) == [keys != moved]
    quarantined = [*read_quarantined(runs.folder / 'quarantine' / '3' / 'span-2')]
    assert [line['source'] for line in quarantined] == ['cats/cut.jpg']


def test_without_hard_links_files_are_copied(runs, forty, monkeypatch):
    def fail(*_):
        raise OSError('no hard links')

    runs.run(spans=[forty[:10]])
    for name in ('link', 'chmod'):  # some file systems have neither
        monkeypatch.setattr(os, name, fail)
    runs.run(1, spans=[forty[:10]])
    one, two = (sorted((runs.folder / 'examples' / run).rglob('*-of-*')) for run in '12')
    assert [each.read_bytes() for each in one] == [each.read_bytes() for each in two]


@pytest.mark.parametrize(('name', 'size'), [(MANIFEST, 0), (MANIFEST, 20), (LIST, None)])
def test_incomplete_span_is_ingested_again(runs, forty, name, size):
    runs.run(spans=[forty[:12]])
    (runs.folder / name).unlink() if size is None else os.truncate(runs.folder / name, size)
    assert runs.run(1, spans=[forty[:12]]) == [False]


def test_span_with_unreadable_images_is_ingested_again(runs, forty):
    bad = BadImage('dogs/gone.jpg', 'unreadable', 'it cannot be read: Permission denied')
    runs.run(spans=[[*forty[:4], bad]])
    assert runs.run(1, spans=[[*forty[:4], bad]]) == [False]
