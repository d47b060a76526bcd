import importlib.util
import json
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / 'benchmarks' / 'gate.py'


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    spec = importlib.util.spec_from_file_location('gate_simulation', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    file = tmp_path_factory.mktemp('gate') / 'gate.json'
    module.main(['--quick', '--json', str(file)])
    return json.loads(file.read_text())


def test_candidate_worse_by_margin_is_accepted_at_most_five_percent(results):
    assert results['largest_acceptance_of_worse_by_margin'] <= 0.05
    worse = [each for each in results['chances'] if each['candidate'] == 'worse by the margin']
    assert {each['images'] for each in worse} == {40, 400, 2300}
    assert max(each['not_inferior'] for each in worse) <= 0.05


def test_equal_candidate_is_accepted_at_the_number_of_images_needed(results):
    assert results['power_at_images_needed'] >= 0.8


def test_former_rule_misjudges(results):
    """Without a margin, equal candidates were rejected; with one, worse candidates accepted."""
    (equal,) = (
        each
        for each in results['chances']
        if (each['images'], each['discordant'], each['candidate']) == (400, 0.03, 'equal')
    )
    assert equal['former']['max_drop 0'] == pytest.approx(0.56, abs=0.01)


def test_quality_stays_within_a_margin_of_the_best(results):
    within = {(each['rule'], each['drift']): each['within_margin'] for each in results['histories']}
    assert within['shipped', 0] >= 0.95
    assert within['max_drop 0.01', 0] < 0.9
