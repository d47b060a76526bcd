import json
import logging

import pytest
from image_bytes import encoded
from made_images import picture
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.types import standard_artifacts

from common.errors import DataError, TooFewImages
from common.metadata_queries import custom_property
from components.image_example_gen.image_example_gen import (
    ImageExampleGenDriver,
    ImageExampleGenExecutor,
    check_bad_share,
    check_classes_in_splits,
)
from components.image_example_gen.ingestion.quarantine import Quarantine
from components.image_example_gen.ingestion.tally import Tally
from components.image_example_gen.sources.base.data_config import DataConfig


def counts(**images):
    """Counts of a span: 2 images of each class in each split, except for the given counts."""
    spans = {split: {'cats': 2, 'dogs': 2} for split in ('train', 'eval', 'test')}
    for key, number in images.items():
        split, name = key.split('_')
        spans[split][name] = number
    return spans


def test_class_without_images_in_a_split_of_all_spans_is_an_error():
    check_classes_in_splits([counts(train_cats=0, eval_dogs=0), counts(train_dogs=0)], 2, 1)
    with pytest.raises(TooFewImages, match=r'^20 images are too few: the eval split got none of '):
        check_classes_in_splits([counts(eval_dogs=0), counts(eval_dogs=0)], 2, 1)
    with pytest.raises(DataError, match=r'dogs.; add images of more groups \(data\.group_by\)$'):
        check_classes_in_splits([counts(eval_dogs=0)], 1, 1, grouped=True)


def test_test_spans_need_images_of_each_class():
    check_classes_in_splits([counts(), counts(test_cats=0)], 2, 2)
    with pytest.raises(DataError, match="the test split got none of class 'cats'; add more"):
        check_classes_in_splits([counts(), counts(test_cats=0)], 2, 1)


def test_spans_before_the_window_count_for_the_test_split_only():
    check_classes_in_splits([counts(test_cats=0), counts()], 1, 2)
    with pytest.raises(DataError, match="the train split got none of class 'cats'"):
        check_classes_in_splits([counts(), counts(train_cats=0)], 1, 2)


def test_too_many_bad_images_are_an_error_with_reasons_and_examples(tmp_path):
    quarantine = tmp_path / 'ImageExampleGen' / 'quarantine' / '7'
    for span in ('span-1', 'span-2'):
        (quarantine / span).mkdir(parents=True)
        line = {'source': 'cats/a.jpg', 'reason': 'truncated', 'detail': f'it ends early in {span}'}
        (quarantine / span / 'quarantined.jsonl').write_text(json.dumps(line) + '\n')
    tallies = {'span-1': Tally(40, {'truncated': 1}), 'span-2': Tally(9, {'under two labels': 2})}

    check_bad_share(tallies, 0.07, quarantine)
    with pytest.raises(DataError) as raised:
        check_bad_share(tallies, 0.05, quarantine)

    refused = quarantine.parent.parent / 'refused'
    assert str(raised.value) == (
        '3 of 49 images (6.1%) cannot be used, more than the 5.0% of data.checks.max_bad_share: '
        '2 under two labels, 1 truncated; such as span-1/cats/a.jpg: it ends early in span-1; '
        f'span-2/cats/a.jpg: it ends early in span-2; all are listed in {refused}; '
        'if images of different classes look alike, set data.checks.near_distance: 0'
    )
    assert 'cats/a.jpg' in (refused / 'span-1' / 'quarantined.jsonl').read_text()


def test_images_of_unknown_classes_are_not_bad(tmp_path):
    (tmp_path / 'quarantine').mkdir()
    check_bad_share({'span-1': Tally(40, {'unknown class': 30})}, 0.05, tmp_path / 'quarantine')


class Ingestion:
    """Runs of ImageExampleGen on folders of spans, without a metadata store."""

    def __init__(self, folder, min_test_images=1, test_window=2):
        self.folder, self.runs = folder, 0
        self.data = DataConfig(
            source='folder',
            path=folder / 'images',
            window=2,
            test_window=test_window,
            min_test_images=min_test_images,
        )
        self._properties = {'data': self.data.model_dump_json()}

    def add(self, span, classes=2):
        for number in range(40):
            file = self.data.path / f'span-{span}' / f'class-{number % classes}' / f'{number}.jpg'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(picture(seed=100 * span + number)))

    def drive(self):
        """The prepared artifact of the next run, with the fingerprint of its images."""
        self.runs += 1
        examples = standard_artifacts.Examples()
        examples.uri = f'{self.folder}/examples/{self.runs}'
        outputs = {'examples': [examples]}
        info = ExecutionInfo(exec_properties=self._properties, output_dict=outputs)
        driven = ImageExampleGenDriver(None).run(info).output_artifacts['examples'].artifacts
        examples.set_mlmd_artifact(driven[0])
        return examples

    def execute(self, prepared):
        quarantine = Quarantine()
        quarantine.uri = f'{self.folder}/quarantine/{self.runs}'
        outputs = {'examples': [prepared], 'quarantine': [quarantine]}
        context = BaseBeamExecutor.Context([], tmp_dir=str(self.folder))
        ImageExampleGenExecutor(context).Do({}, outputs, self._properties)
        return outputs['examples']


def test_ingests_new_spans_and_links_earlier_ones(tmp_path, caplog):
    ingestion = Ingestion(tmp_path)
    for span in (1, 2):
        ingestion.add(span)
    assert [each.span for each in ingestion.execute(ingestion.drive())] == [1, 2]
    ingestion.add(3)

    with caplog.at_level(logging.INFO):
        second = ingestion.execute(ingestion.drive())

    assert [each.uri for each in second] == [f'{tmp_path}/examples/2/span-{n}' for n in (2, 3)]
    assert 'span 2: 40 images, linked from an earlier run' in caplog.text
    assert 'span 3: 40 images, new' in caplog.text


def test_images_that_change_after_the_driver_are_an_error(tmp_path):
    ingestion = Ingestion(tmp_path)
    ingestion.add(1)
    prepared = ingestion.drive()
    ingestion.add(2)

    with pytest.raises(DataError, match='changed during the run; start again'):
        ingestion.execute(prepared)


def test_older_spans_are_judged_but_not_trained_on(tmp_path, caplog):
    ingestion = Ingestion(tmp_path, min_test_images=20)
    for span in (1, 2, 3):
        ingestion.add(span)

    with caplog.at_level(logging.INFO):
        examples = ingestion.execute(ingestion.drive())

    judged_only = {
        each.span: custom_property(each.mlmd_artifact, 'judged_only') for each in examples
    }
    assert judged_only == {1: 1, 2: None, 3: None}
    assert 'the test images of span 1 are judged too: data.min_test_images' in caplog.text


@pytest.mark.parametrize('min_test_images', [1, 20])
def test_each_class_needs_test_images_in_all_judged_spans_together(tmp_path, min_test_images):
    ingestion = Ingestion(tmp_path, min_test_images, test_window=1)
    ingestion.add(1)
    ingestion.add(2, classes=1)

    if min_test_images == 1:  # span 2 alone is judged
        with pytest.raises(DataError, match="the test split got none of class 'class-1'"):
            ingestion.execute(ingestion.drive())
    else:
        assert len(ingestion.execute(ingestion.drive())) == 2
