"""The prose follows the glossary: no word or phrase that has a plainer or a standard one."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_files import CURRENT_FILES, name_of, tokens_of

# Instead of a phrase (a regular expression): what to write.
GLOSSARY = {
    r'says so|is told that': 'logs, prints, reports, raises',
    r'for a person|as a person reads it': 'human-readable; formatted for the console',
    r'whole or not at all|comes whole': 'atomic; written atomically',
    r'set aside': 'quarantined; skipped',
    r'near copies|copies of one another': 'near-duplicates; duplicates',
    r'leaking|seen before': 'data leakage; train-test overlap',
    r'moved too far|further than the recipe allows': 'drift above the threshold',
    r'what was decided': 'evaluation; gate decision; blessing',
    r'what the model answers': 'predictions',
    r'what a model looks at': 'Grad-CAM heat maps',
    r'worse copies': 'corruption robustness',
    r'again when there is something new': 'scheduled retraining',
    r'tells? (?:\w+ )?apart': 'distinguishes',
    r'as it came': 'unchanged, raw',
    r'taken back': 'rolled back; reverts',
    r'in a process of its own': 'in a subprocess',
    r'written down': 'recorded, logged, stored',
    r'in as many attempts as it takes': 'with retries',
    r'which lies beside|stands in': 'next to; in',
    r'by hand': 'manually',
    # Not of the glossary, but as plain.
    r'utili[sz]es?|utili[sz]ing|leverag(?:es?|ing)': 'uses',
    r'in order to': 'to',
    r'simply|just|easily|obviously|of course': 'leave it out',
    r'blazing|seamless(?:ly)?|powerful|state-of-the-art|effortless(?:ly)?': 'a figure',
}
_PHRASES = {
    re.compile(rf'\b(?:{phrase})\b', re.IGNORECASE): use for phrase, use in GLOSSARY.items()
}


def prose_of(file: Path) -> Iterator[tuple[int, str]]:
    """Yields the paragraphs, headings and cells without code, with their line."""
    for token in tokens_of(file):
        if token.type == 'inline':
            parts = [
                ''
                if each.type == 'code_inline'
                else ' '
                if each.type == 'softbreak'
                else each.content
                for each in token.children or ()
            ]
            yield (token.map or [0])[0] + 1, ''.join(parts)


def problems_of(file: Path) -> list[str]:
    return [
        f'line {line}: "{match[0]}": {use}'
        for line, text in prose_of(file)
        for phrase, use in _PHRASES.items()
        for match in phrase.finditer(text)
    ]


@pytest.mark.parametrize('file', CURRENT_FILES, ids=name_of)
def test_prose_follows_glossary(file):
    assert problems_of(file) == []


def test_phrases_are_found_across_lines_but_not_in_code(tmp_path):
    file = tmp_path / 'guide.md'
    file.write_text('Edit it by\nhand.\n\nRun `by hand`.\n\n    in order to\n')

    assert problems_of(file) == ['line 1: "by hand": manually']
