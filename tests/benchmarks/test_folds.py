"""The division of images into the folds of a cross-validation, and the pooled results."""

import hashlib
from collections import Counter

import pytest
from folds import Fold, pooled, split_in_fold, write_fold

from components.image_example_gen.sources.base.data_config import DataConfig, SplitConfig
from components.image_example_gen.sources.spans import make_source


def test_each_image_is_tested_once_and_the_others_have_the_shares_of_the_recipe():
    digests = [hashlib.sha256(f'{number}'.encode()).hexdigest() for number in range(2000)]
    splits = SplitConfig(train=7, eval=1, test=2)
    of_images = [
        [split_in_fold(digest, splits, fold, 5) for fold in range(5)] for digest in digests
    ]
    assert {each.count('test') for each in of_images} == {1}
    for fold in zip(*of_images, strict=True):
        counts = Counter(fold)
        assert counts['test'] == pytest.approx(400, abs=60)
        assert counts['eval'] == pytest.approx(200, abs=50)


def test_images_of_a_fold_are_written_once_with_their_class(make_image_folder, tmp_path):
    data = DataConfig(source='folder', path=make_image_folder(tmp_path / 'images', 30))
    source = make_source(data)
    for fold in range(2):
        write_fold(source, data.splits, fold, 2, tmp_path / f'{fold}')
    originals = {file.read_bytes(): file.parent.name for file in data.path.glob('*/*')}
    tested = []
    for fold in range(2):
        written = [*(tmp_path / f'{fold}').glob('*/*/*')]
        assert {file.read_bytes(): file.parent.name for file in written} == originals
        assert len(written) == len(originals)
        tested += [file.read_bytes() for file in (tmp_path / f'{fold}' / 'test').glob('*/*')]
    assert sorted(tested) == sorted(originals)


def test_results_are_pooled_over_all_tested_images():
    words = pooled([Fold(30, right=30, log_loss=0.1), Fold(10, right=5, log_loss=0.5)])

    assert words.startswith('40 images, each tested once: accuracy 0.8750 (95 % interval 0.7')
    assert words.endswith('log loss 0.2000')
