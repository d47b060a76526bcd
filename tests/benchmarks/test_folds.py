"""The division of images into the folds of a cross-validation, and the pooled results."""

import hashlib
import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from components.image_example_gen.sources.base.data_config import SplitConfig

BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'


@pytest.fixture(scope='module')
def folds():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        spec = importlib.util.spec_from_file_location('folds', BENCHMARKS / 'folds.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def test_each_image_is_tested_once_and_the_others_have_the_shares_of_the_recipe(folds):
    digests = [hashlib.sha256(f'{number}'.encode()).hexdigest() for number in range(2000)]
    splits = SplitConfig(train=7, eval=1, test=2)
    of_images = [
        [folds.split_in_fold(digest, splits, fold, 5) for fold in range(5)] for digest in digests
    ]
    assert {each.count('test') for each in of_images} == {1}
    for fold in zip(*of_images, strict=True):
        counts = Counter(fold)
        assert counts['test'] == pytest.approx(400, abs=60)
        assert counts['eval'] == pytest.approx(200, abs=50)


def test_accuracy_is_pooled_over_all_tested_images(folds, capsys):
    fold = {'log_loss': 0.1, 'seconds': 2.0, 'cpu_seconds': 3.0}
    results = [
        {'fold': 0, 'images': {'train': 70, 'eval': 10, 'test': 30}, 'right': 30, **fold},
        {'fold': 1, 'images': {'train': 70, 'eval': 20, 'test': 10}, 'right': 5, **fold},
    ]
    pooled = folds.report(results)
    assert pooled['images'] == 40
    assert pooled['accuracy']['value'] == pytest.approx(35 / 40)
    assert pooled['accuracy']['low'] < 35 / 40 < pooled['accuracy']['high']
    assert 'accuracy 0.8750 (95 % interval' in capsys.readouterr().out


def test_plain_script_needs_a_weights_file(folds, capsys, monkeypatch):
    monkeypatch.setattr('sys.argv', ['folds.py', 'pictures', '--recipe', 'small', '--plain'])
    with pytest.raises(SystemExit):
        folds.main()
    assert '--plain needs --weights' in capsys.readouterr().err
