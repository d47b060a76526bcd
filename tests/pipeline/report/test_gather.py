"""Data of a report from the artifacts of a run."""

import json
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
from example_record import record
from example_records import write_records
from example_run import example, picture
from ml_metadata.proto import metadata_store_pb2

from common import console
from common.features import IMAGE_BYTES, LABEL
from components.evaluation.results import ROBUSTNESS_FILE
from components.image_example_gen.ingestion.ingested import Tally
from components.image_example_gen.ingestion.quarantine import LIST
from pipeline.config.recipe import load_recipe
from pipeline.execution.launch import NodeResult
from pipeline.execution.run_artifacts import Images
from pipeline.report.content import data_summary as data_summary_module
from pipeline.report.content.data_summary import data_summary
from pipeline.report.content.embedded_images import data_uri, page_images
from pipeline.report.write import write_report


@pytest.fixture
def results(tmp_path):
    """`results(node, output)` creates and returns the folder of an output; `.all` has all nodes."""

    def folder(node: str, output: str):
        path = tmp_path / node / output
        path.mkdir(parents=True)
        artifact = metadata_store_pb2.Artifact(uri=str(path))
        folder.all[node] = NodeResult(node, 1.0, False, {output: [artifact]})
        return path

    folder.all = {}
    return folder


def test_counts_of_all_spans_and_quarantined_images(results, tmp_path, monkeypatch):
    results('ImageExampleGen', 'examples')
    spans = results.all['ImageExampleGen'].outputs['examples'] * 2
    results.all['ImageExampleGen'].outputs['examples'] = spans
    ingested = types.SimpleNamespace(counts={'train': {'cats': 3, 'dogs': 2}, 'test': {'cats': 1}})
    monkeypatch.setattr(data_summary_module, 'read_ingested', lambda _: ingested)
    line = {'source': 'a.jpg', 'reason': 'empty', 'detail': '0 bytes', 'sha256': 'e3b0'}
    (tmp_path / LIST).write_text(9 * f'{json.dumps(line)}\n')
    images = Images(Tally(seen=21, bad={'empty': 9}), (tmp_path / LIST, tmp_path / 'gone' / LIST))

    monkeypatch.setattr(data_summary_module, 'read_images', lambda _: images)

    found = data_summary(results.all)

    assert found.counts == {'train': {'cats': 6, 'dogs': 4}, 'eval': {}, 'test': {'cats': 2}}
    assert (found.seen, found.bad, len(found.lists)) == (21, {'empty': 9}, 2)
    assert found.examples == ({'source': 'a.jpg', 'reason': 'empty', 'detail': '0 bytes'},) * 8


def test_samples_are_balanced(results):
    records = [{LABEL: label, IMAGE_BYTES: picture(1)} for label in 20 * [0] + 10 * [1]]
    folder = results('ImageExampleGen', 'examples')
    write_records(folder / 'Split-train' / 'data-00000-of-00001', records)

    samples = page_images(results.all, example(robustness=None)).samples

    assert [name for name, _ in samples] == ['cats'] * 6 + ['dogs'] * 6
    assert all(uri.startswith('data:image/jpeg;base64,') for _, uri in samples)


def test_mistakes_have_thumbnails_and_optional_heat_maps(results):
    folder = results('RobustnessEvaluator', 'robustness')
    (folder / ROBUSTNESS_FILE).write_text(example().robustness.model_dump_json())
    (folder / 'p.png').write_bytes(picture(3))

    shown = page_images(results.all, example()).mistakes

    assert len(shown) == 6
    _, image, heat_map = shown[0]
    assert image.startswith('data:image/jpeg')
    assert heat_map is None


def test_thumbnail_is_small():
    pixels = np.random.default_rng(1).integers(0, 255, (600, 800, 3), np.uint8)

    assert len(data_uri(tf.io.encode_png(pixels).numpy())) < 30_000


def test_report_error_is_a_warning(tmp_path, capsys):
    recipe = load_recipe('demo', [('workdir', str(tmp_path))])
    with console.output_to(sys.stdout):
        assert not write_report(tmp_path / 'page.html', recipe, {}, record())
    captured = capsys.readouterr()
    assert captured.out.startswith('warning: the report cannot be written: ')
    assert 'Traceback' in captured.err
