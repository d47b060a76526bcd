"""Data and images of a report from the artifacts of a run."""

import json
import sys

import pytest
from example_record import record
from example_records import write_records
from example_run import example, picture
from ml_metadata.proto import metadata_store_pb2

from common import console
from common.features import IMAGE_BYTES, LABEL, MANIFEST
from common.metadata_queries import Node
from components.image_example_gen.ingestion.ingested import Ingested, Tally
from components.image_example_gen.ingestion.quarantine import LIST
from pipeline.config.recipe import load_recipe
from pipeline.report import write
from pipeline.report.embedded_images import page_images
from pipeline.report.write import write_report


@pytest.fixture
def results(tmp_path):
    """The outputs that have images, in empty folders."""
    found = {}
    for node, output in (('ImageExampleGen', 'examples'), ('RobustnessEvaluator', 'robustness')):
        (tmp_path / node).mkdir()
        artifact = metadata_store_pb2.Artifact(uri=str(tmp_path / node))
        found[node] = Node(metadata_store_pb2.Execution(), {}, {output: [artifact]})
    return found


def test_counts_of_all_spans_and_quarantined_images(tmp_path):
    counts = {'train': {'cats': 3, 'dogs': 2}, 'test': {'cats': 1}}
    span = Ingested(
        fingerprint='a', listed='b', settings='', counts=counts, tally=Tally(15, {'empty': 9})
    )
    (tmp_path / MANIFEST).write_text(span.model_dump_json())
    line = {'source': 'a.jpg', 'reason': 'empty', 'detail': '0 bytes'}
    (tmp_path / LIST).write_text(9 * f'{json.dumps(line)}\n')
    lists = [str(tmp_path / LIST), str(tmp_path / 'gone' / LIST)]

    found = write.summarize([tmp_path, tmp_path], lists)

    assert found.counts == {'train': {'cats': 6, 'dogs': 4}, 'eval': {}, 'test': {'cats': 2}}
    assert (found.tally.seen, found.tally.bad) == (30, {'empty': 18})
    assert found.examples == (line,) * 8


def test_samples_are_balanced_and_mistakes_have_optional_heat_maps(results, tmp_path):
    records = [{LABEL: label, IMAGE_BYTES: picture()} for label in 20 * [0] + 10 * [1]]
    folder = tmp_path / 'ImageExampleGen' / 'Split-train'
    write_records(folder / 'data-00000-of-00001', records)
    (tmp_path / 'RobustnessEvaluator' / 'p.png').write_bytes(picture())
    run = example()
    mistakes = [each.model_copy(update={'explanation': None}) for each in run.robustness.mistakes]
    robustness = run.robustness.model_copy(update={'mistakes': (*mistakes,)})

    images = page_images(results, run.model_copy(update={'robustness': robustness}))

    assert [name for name, _ in images.samples] == ['cats'] * 6 + ['dogs'] * 6
    assert {heat_map for _, _, heat_map in images.mistakes} == {None}
    uris = [uri for _, uri in images.samples] + [image for _, image, _ in images.mistakes]
    assert len(uris) == 18
    assert all(uri.startswith('data:image/jpeg;base64,') for uri in uris)


def test_report_error_is_a_warning(tmp_path, capsys):
    recipe = load_recipe('demo', [('workdir', str(tmp_path))])
    with console.output_to(sys.stdout):
        assert not write_report(tmp_path / 'page.html', recipe, {}, record())
    captured = capsys.readouterr()
    assert captured.out.startswith('warning: the report cannot be written: ')
    assert 'Traceback' in captured.err
