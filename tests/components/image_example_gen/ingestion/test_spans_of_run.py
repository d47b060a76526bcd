import os

import apache_beam as beam
import pytest
from made_images import MemorySource

from common.features import INDEX
from components.image_example_gen.ingestion.quarantine import read_quarantined
from components.image_example_gen.ingestion.spans_of_run import ingest_spans
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import BadImage

RECORDS = 'examples/1/span-1/Split-eval/data_tfrecord-00000-of-00003'
MANIFEST, LIST = 'examples/1/span-1/manifest.json', 'quarantine/1/span-1/quarantined.jsonl'


class Runs:
    """Runs that ingest spans into the folder of their number."""

    def __init__(self, folder):
        self.folder, self.number = folder, 0

    def run(self, earlier=0, spans=(), **data):
        """Ingests spans; returns the run whose records each is linked to, or this one."""
        self.number += 1
        sources = {n: MemorySource(images, per_shard=5) for n, images in enumerate(spans, start=1)}
        ingest_spans(
            sources,
            {number: source.fingerprint for number, source in sources.items()},
            DataConfig.model_validate(data),
            str(self.folder / 'examples' / f'{earlier}') if earlier else '',
            (self.records(self.number), self.folder / 'quarantine' / f'{self.number}'),
            beam.Pipeline,
        )
        return [self.origin(number) for number in sources]

    def records(self, run):
        return self.folder / 'examples' / f'{run}'

    def origin(self, span):
        """The first run with the same file."""
        name = f'span-{span}/{INDEX}'
        file = self.records(self.number) / name
        runs = range(1, self.number + 1)
        exist = (run for run in runs if (self.records(run) / name).exists())
        return next(run for run in exist if (self.records(run) / name).samefile(file))


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


def test_unchanged_spans_are_linked(runs, forty):
    cut = forty[3]._replace(contents=forty[3].contents[:300], filename='cats/cut.jpg')
    one, two, three = forty[:10], [*forty[10:20], cut], forty[20:25]

    assert runs.run(spans=[one, two]) == [1, 1]
    assert runs.run(spans=[one, two]) == [1, 1]  # other keys of data changed
    assert runs.run(spans=[one, two, three]) == [3, 3, 3]
    assert runs.run(1, spans=[one, two, three]) == [1, 1, 4]
    assert runs.run(1, spans=[one[:9], two]) == [5, 1]
    assert runs.run(1, spans=[one, two], checks={'min_side': 17}) == [6, 6]
    quarantined = [*read_quarantined(runs.folder / 'quarantine' / '5' / 'span-2')]
    assert [line['source'] for line in quarantined] == ['cats/cut.jpg']


def test_without_hard_links_files_are_copied(runs, forty, monkeypatch):
    def fail(*_):
        raise OSError('no hard links')

    runs.run(spans=[forty[:10]])
    for name in ('link', 'chmod'):  # some file systems have neither
        monkeypatch.setattr(os, name, fail)
    assert runs.run(spans=[forty[:10]]) == [2]
    one, two = (sorted(runs.records(run).rglob('data*')) for run in (1, 2))
    assert [each.read_bytes() for each in one] == [each.read_bytes() for each in two]


@pytest.mark.parametrize(
    ('name', 'size'),
    [
        (RECORDS, None),
        (f'examples/1/span-1/{INDEX}', None),
        (f'examples/1/span-1/{INDEX}', 200),
        (MANIFEST, None),
        (MANIFEST, 20),
        (LIST, None),
    ],
)
def test_incomplete_span_is_ingested_again(runs, forty, name, size):
    runs.run(spans=[forty[:12]])
    if size is None:
        (runs.folder / name).unlink()
    else:
        os.truncate(runs.folder / name, size)
    assert runs.run(spans=[forty[:12]]) == [2]


def test_span_with_unreadable_images_is_ingested_again(runs, forty):
    bad = BadImage('dogs/gone.jpg', 'unreadable', 'it cannot be read: Permission denied')
    runs.run(spans=[[*forty[:4], bad]])
    assert runs.run(spans=[[*forty[:4], bad]]) == [2]
