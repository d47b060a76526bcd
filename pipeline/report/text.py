"""The outcome of a run as text: gate decision, rule by rule. Imports no TensorFlow."""

from rich.console import Group, RenderableType
from rich.text import Text

from components.evaluation.gate.decision import FAILED, NOT_APPLIED, PASSED, UNDECIDED, Result
from pipeline.formatting import describe_gate, describe_left_out, named, time_of, unwrapped
from pipeline.run.record import Run

_STYLES: dict[Result, str] = {
    FAILED: 'bold red',
    UNDECIDED: 'yellow',
    PASSED: 'green',
    NOT_APPLIED: 'dim',
}  # in the order of the rules


def as_text(run: Run) -> RenderableType:
    """The state of a run at its end, formatted for the console."""
    style = 'bold green' if run.blessed else 'bold red' if run.gate else 'bold'
    word = str(run.result).upper() if run.gate else str(run.result)
    head = Text.assemble((word, style), f': {run.recipe}, run {run.id}, {time_of(run.started)}')
    facts = {
        'model': run.model,
        'pushed to': run.folder and run.folder + (', unchanged' if run.unchanged else ''),
        'live then': run.live_version and f'version {run.live_version}',
        'trained because': run.decision,
        'spans': named(run.spans).partition(' ')[2],
        'override': run.manual_override,
        'fine-tuning': run.fine_tuning,
        'images': None if run.images is None else f'{run.images:,}',
        'left out': '; '.join(describe_left_out(run.images, run.left_out)),
        'warnings': '; '.join(run.warnings),
        'error': '; '.join(run.reasons) if run.result in ('failed', 'interrupted') else None,
        'webhook': run.webhook_error,
    }
    lines = [unwrapped(f'{name}: {value}') for name, value in facts.items() if value]
    if run.gate is None:
        return Group(head, *lines)
    lines.append(unwrapped(describe_gate(run.gate)))
    lines += [unwrapped(f'note: {remark}') for remark in run.gate.remarks]
    for result, colour in _STYLES.items():
        reasons = [each.reason for each in run.gate.rules if each.result == result]
        lines += [Text.assemble((f'{result:<11} ', colour), reason) for reason in reasons]
    return Group(head, *lines)
