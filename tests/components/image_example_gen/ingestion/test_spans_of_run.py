import os
import shutil

import pytest
from made_images import MemorySource

from components.image_example_gen.ingestion.quarantine import read_quarantined
from components.image_example_gen.ingestion.span import Targets
from components.image_example_gen.ingestion.spans_of_run import link_span
from components.image_example_gen.sources.base.source_protocol import BadImage

BAD = BadImage('dogs/gone.jpg', 'unreadable', 'it cannot be read: Permission denied')


@pytest.fixture(scope='module')
def first(ingest, forty):
    """A span of good images and a bad one, in three shards."""
    cut = forty[3]._replace(contents=forty[3].contents[:300], filename='cats/cut.jpg')
    return ingest(MemorySource([*forty, cut], per_shard=15))


@pytest.fixture
def link(tmp_path):
    """`link(written)` links a span; returns its folders, or None if it cannot be linked."""

    def try_to_link(written, **wanted):
        targets = Targets(tmp_path / 'records', tmp_path / 'quarantine')
        found = Targets(written.records, written.quarantine)
        wanted = {'settings': written.ingested.settings, **wanted}
        return targets if link_span(wanted, [found], targets) else None

    return try_to_link


@pytest.mark.parametrize('hard_links', [True, False])
def test_span_is_linked_with_its_quarantine(link, first, monkeypatch, hard_links):
    def fail(*_):
        raise OSError('no hard links')

    if not hard_links:
        monkeypatch.setattr(os, 'link', fail)
    linked = link(first, known=first.ingested.known)

    for file in first.records.rglob('data_tfrecord-*'):
        copy = linked.records / file.relative_to(first.records)
        assert copy.read_bytes() == file.read_bytes()
        assert copy.samefile(file) == hard_links
    assert [*read_quarantined(linked.quarantine)] == [*read_quarantined(first.quarantine)]


def test_other_settings_images_or_spans_are_not_linked(ingest, link, forty, first):
    keys = {'splits': {'train': 1}}, {'checks': {'min_side': 17}}
    groups = {'source': 'folder', 'group_by': {'pattern': '(.)'}}
    grouped = [each._replace(group=each.filename[-5]) for each in forty[:4]]
    settings = {ingest(forty[:4], **each).ingested.settings for each in keys}
    settings |= {ingest(images).ingested.settings for images in (forty[:4], forty[:5])}
    settings |= {ingest(grouped, **groups).ingested.settings}
    assert len(settings) == 5
    assert link(first, settings=settings.pop()) is None
    after = ingest(forty[:4], window=[first]), ingest(forty[:4], earlier=[first])
    assert len({each.ingested.known for each in (first, *after)}) == 3


@pytest.mark.parametrize(
    ('name', 'size'),
    [
        ('records/Split-eval/data_tfrecord-00000-of-00003', None),
        ('records/index.npy', None),
        ('records/index.npy', 200),
        ('records/manifest.json', None),
        ('records/manifest.json', 20),
        ('quarantine/quarantined.jsonl', None),
    ],
)
def test_incomplete_span_is_not_linked(link, first, tmp_path, name, size):
    folder = tmp_path / 'earlier'
    shutil.copytree(first.records.parent, folder)
    if size is None:
        (folder / name).unlink()
    else:
        os.truncate(folder / name, size)
    damaged = type(first)(folder / 'records', folder / 'quarantine', first.ingested)

    assert link(damaged) is None


def test_span_with_unreadable_images_is_not_linked(ingest, link, forty):
    assert link(ingest([*forty[:4], BAD])) is None
