"""The present state of reported models: which one is live, and the manual overrides since its run.

A report stores the state at the end of its run. Overrides and later pushes change it.
"""

import logging
from pathlib import Path

from common.artifacts import folder_of
from common.blessing import read_override
from common.errors import ModelError, PipelineError
from common.files import read_regular, write_atomically
from components.pusher.serving_folder import read_note, versions_in
from pipeline.config.recipe import Recipe
from pipeline.report.content.page_data import ModelStatus, ReportData
from pipeline.report.page.render import replace_verdict
from pipeline.report.store import LAST_PAGE, StoredReport, stored_reports

_log = logging.getLogger(__name__)


def read_present(recipe: Recipe) -> dict[StoredReport, ReportData]:
    """Reads the reports with the present state of their models, oldest first.

    At most one is live: of several runs with the same model, the last one. Reports of other
    versions of this program are left out.

    Raises:
        ModelError: a manual override is damaged.
    """
    versions = versions_in(recipe.serving_directory)
    models = {version: _model_at(version) for version in versions}
    last_runs: dict[str, str] = {}  # by URI of the model
    found = {}
    for report in reversed(stored_reports(recipe.home)):
        try:
            data = report.read()
        except ModelError:
            continue
        model = data.origin.model.artifact if data.origin else None
        last = last_runs.setdefault(model, data.run_id) if model else data.run_id
        later = last if last != data.run_id else None
        state = _present_status(data.standing, model, models, later)
        found[report] = data.model_copy(update={'standing': state})
    return dict(reversed(found.items()))


def update_pages(recipe: Recipe) -> None:
    """Writes the present state to the pages of the reports; an error is a warning."""
    try:
        present = read_present(recipe)
        for report, data in present.items():
            _update(report.page, data)
        if present:
            _update(recipe.home / LAST_PAGE, [*present.values()][-1])
    except (OSError, UnicodeDecodeError, PipelineError) as error:
        _log.warning('the reports cannot be updated: %s', error)


def _model_at(version: Path) -> str | None:
    note = read_note(version)
    return note.about.model if note else None


def _present_status(
    then: ModelStatus, model: str | None, models: dict[Path, str | None], later: str | None
) -> ModelStatus:
    """The status of a model, given by its URI if it is known.

    `models` are the URIs by version, the live one last, and `later` is a later run of this model.
    """
    live = next(reversed(models), None)
    pushed = [
        version
        for version, uri in models.items()
        if str(version) == then.folder or (model and uri == model)
    ]
    changes: dict[str, object] = {
        'live': bool(pushed) and pushed[-1] == live and later is None,
        'live_version': live.name if live else None,
        'repeated_by': later,
    }
    if pushed:  # otherwise its version was removed, or there is none
        note = read_note(pushed[-1])
        since = note.pushed if note else None
        changes |= {'version': pushed[-1].name, 'folder': str(pushed[-1]), 'since': since}
    if model:
        override = read_override(folder_of(model))
        changes['blessed'] = override.blessed if override else then.verdict.blessed
        changes['manual_override'] = override.describe() if override else None
    return then.model_copy(update=changes)


def _update(page: Path, data: ReportData) -> None:
    try:
        before = read_regular(page).decode('utf-8')
    except FileNotFoundError:
        return
    now = replace_verdict(before, data)
    if now != before:
        write_atomically(page, now)
