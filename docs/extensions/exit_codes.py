"""Describes the errors of the project in Markdown: exit code, and whether a schedule retries."""

import inspect
from collections.abc import Iterator
from typing import get_args

from common.errors import PipelineError, RejectionReason


def errors() -> Iterator[tuple[type[PipelineError], int]]:
    """The exception classes, each after its base, with their depth."""

    def below(parent: type[PipelineError], depth: int) -> Iterator[tuple[type[PipelineError], int]]:
        for each in parent.__subclasses__():
            yield each, depth
            yield from below(each, depth + 1)

    yield from below(PipelineError, 0)


def as_markdown() -> str:
    """A table of the exception classes, and the reasons for which an image is quarantined."""
    lines = ['| error | exit code | retried by a schedule | meaning |', '| --- | --- | --- | --- |']
    for each, depth in errors():
        summary = inspect.cleandoc(each.__doc__ or '').partition('\n\n')[0].replace('\n', ' ')
        retried = 'yes' if each.retryable else 'no'
        if 'retryable' in inspect.signature(each.__init__).parameters:  # set per error
            retried = 'depends'
        name = f'{"·&nbsp;" * depth}`{each.__name__}`'
        lines.append(f'| {name} | {each.exit_code} | {retried} | {summary} |')
    reasons = ', '.join(f'`{reason}`' for reason in get_args(RejectionReason))
    return '\n'.join(
        [*lines, '', f'An image is quarantined for one of these reasons: {reasons}.', '']
    )
