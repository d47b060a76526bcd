"""A page that says how a run ended; one file, nothing is fetched when it is opened."""

from pathlib import Path

import jinja2

from pipeline.config import Recipe
from pipeline.launch import NodeResult
from pipeline.local_runner import display_name
from pipeline.outcome import Outcome
from trainer.features import PICTURES

_TEMPLATE = Path(__file__).with_name('report.html.j2')


def write_report(
    path: Path, recipe: Recipe, results: dict[str, NodeResult], outcome: Outcome, seconds: float
) -> None:
    """Writes the page.

    Args:
        path: of the file; folders are made.
        recipe: of the run.
        results: of its components, by node id.
        outcome: the verdict.
        seconds: all of them.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(_TEMPLATE.read_text(encoding='utf-8')).render(
        recipe=recipe,
        outcome=outcome,
        components=[(display_name(each.node_id), each) for each in results.values()],
        seconds=seconds,
        curves=_curves(results),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding='utf-8')


def _curves(results: dict[str, NodeResult]) -> str:
    """Loss and accuracy by epoch, as SVG; empty if the Trainer left none."""
    runs = results['Trainer'].outputs.get('model_run', [])
    file = Path(runs[0].uri) / PICTURES / 'curves.svg' if runs else None
    if file is None or not file.is_file():
        return ''
    text = file.read_text(encoding='utf-8')
    return text[text.index('<svg') :]
