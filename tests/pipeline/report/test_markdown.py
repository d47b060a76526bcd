"""A run as Markdown for the clipboard."""

import html
import re

import pytest
from example_run import COMMANDS, HOSTILE, REASON, REJECTED, example, rejected, verdict

from pipeline.report.content.page_data import PageImages
from pipeline.report.page.render import render_page


def markdown_of(page):
    """What the button copies."""
    return html.unescape(re.search('data-copy="(## .*?)"', page, re.DOTALL)[1])


@pytest.fixture
def markdown():
    return lambda **changes: markdown_of(render_page(example(**changes), PageImages()))


def test_has_state_metrics_classes_and_confusion_matrix(markdown):
    text = markdown()

    assert text.startswith(
        '## filtered\\_160: run 2026-11-21T18:04:54.991458\n\n**Live**, version '
    )
    assert '- passed: accuracy 0.970, baseline 0.95 (n=402)\n' in text
    assert '### Metrics on 402 test images' in text
    assert '| Accuracy | 0.9701 | 0.9486 to 0.9828 | 0.9552 | 0.9303 to 0.9715 |' in text
    assert '| cats | 201 | 0.9701 | 0.9701 | 0.9701 |\n' in text
    assert '| macro average | 402 | 0.9701 | 0.9701 | 0.9701 |' in text
    assert (
        '| label | cats | dogs |\n| :-- | --: | --: |\n| cats | 195 | 6 |\n| dogs | 6 | 195 |'
        in text
    )


def test_has_reason_remedy_and_command_of_a_rejected_model(markdown):
    text = markdown(state=rejected({'evaluation.max_drop': 0.05}), commands=COMMANDS)

    assert '**Not live**' in text
    assert text.index(f'- failed: {REASON}') < text.index('- passed: accuracy 0.958')
    advice = r'train on more dark images; or accept this model with evaluation.max\_drop: 0.05'
    assert f'Remedy: {advice}' in text
    assert '```sh\npython pipeline_runner.py run --config=pets ' in text


def test_has_the_most_frequent_of_many_confusions(markdown):
    text = markdown(classes=tuple(f'kind {number}' for number in range(100)))

    assert '### Most frequent of 100 confusions' in text
    assert text.count('| kind ') == 100 + 20 * 2
    assert '| kind 0 | kind 1 | 1 |' in text


def test_has_no_links_and_no_markup_of_names(markdown):
    reason = f'accuracy on images of {HOSTILE[1]} 0.5'
    status = {**REJECTED, 'verdict': verdict(('failed', reason))}
    text = markdown(classes=HOSTILE, state=status, description='*see* https://evil.example')

    assert '| ``a\\|b `c` [x](http://evil.example) @ann`` |' in text
    assert '| `www.evil.example` |' in text
    assert r'\*see\* https:\//evil.example' in text
    outside_of_code = re.sub(r'(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)', '', text)
    assert re.findall(r'(?<!\\)[\[\]<>@`]|://|www[.]', outside_of_code) == []
    rows = [line for line in text.splitlines() if line.startswith('| `')]
    assert {len(re.findall(r'(?<!\\)\|', row)) for row in rows} == {6, 5}  # by class; confusions


def test_pipe_after_a_backslash_does_not_end_a_cell(markdown):
    assert '| `a\\\\\\|b` |' in markdown(classes=('a\\|b', 'c'))


def test_without_evaluation_has_the_state_only(markdown):
    text = markdown(evaluation=None)

    assert '**Live**' in text
    assert '###' not in text
