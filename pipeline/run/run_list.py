"""Lists the runs of recipes from their records, without ML Metadata. Imports no TFX."""

import itertools
import reprlib
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from components.pusher.serving_folder import versions_in
from pipeline.formatting import describe_left_out, dotted, time_of
from pipeline.run.record import LAST_TICK, RUNS, Run, last_tick, utc_now

_MOST_CHANGES = 3  # in the table
_LONGEST = 100  # characters of a decision in the table
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 24
_NO_VALUE = object()


def homes_in(workdir: Path) -> list[Path]:
    """The homes of all recipes with runs or ticks in a working directory, by name."""
    return sorted({path.parent for name in (RUNS, LAST_TICK) for path in workdir.glob(f'*/{name}')})


def describe_present(home: Path, runs: Sequence[Run]) -> list[str]:
    """The live version and the last tick of a recipe, as lines; `runs` are oldest first."""
    versions = versions_in(_serving_folder(home, runs))
    live = f'version {versions[-1].name} is live' if versions else 'no version is live'
    lines = [f'{home.name}: {live} in {_serving_folder(home, runs)}']
    if tick := last_tick(home, runs, utc_now()):
        result = '' if tick.result == 'nothing new' else f'{describe_decision(tick)}; '
        why = f'{result}{tick.decision}' if tick.decision else describe_decision(tick)
        lines.append(f'{home.name}: last tick {time_of(tick.started)}: {why}')
    return lines


def _serving_folder(home: Path, runs: Sequence[Run]) -> Path:
    """The serving folder of the last run with a configuration."""
    configs = [run.config for run in runs if run.config]
    directory = configs[-1].get('push_directory') if configs else None
    return Path(directory or home / 'serving')


def _changed_keys(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """By run, the keys with another value than in the run before; None for a removed key."""
    configured = [run for run in runs if run.config]  # overrides are not
    configs = [dotted(run.config) for run in configured]
    return {
        run.id: {
            name: now.get(name)
            for name in {**before, **now}
            if before.get(name, _NO_VALUE) != now.get(name, _NO_VALUE)
        }
        for run, before, now in zip(configured[1:], configs, configs[1:], strict=False)
    }


def newest(runs: Iterable[Sequence[Run]], last: int) -> list[Run]:
    """The last runs of all recipes, newest first."""
    return sorted(itertools.chain(*runs), key=lambda run: run.started)[: -last - 1 : -1]


def as_table(found: Mapping[Path, Sequence[Run]], shown: Iterable[Run]) -> Table:
    """Some of the runs that were found by home, formatted for the console."""
    live: set[tuple[str, str]] = set()
    changed: dict[str, dict[str, Any]] = {}
    for home, runs in found.items():
        live |= {(home.name, path.name) for path in versions_in(_serving_folder(home, runs))[-1:]}
        changed |= _changed_keys(runs)
    table = Table(box=None, pad_edge=False)
    for column in ('started', 'recipe', '', 'decision', 'accuracy', 's', 'changed', 'run'):
        right = column in ('accuracy', 's')
        table.add_column(column, overflow='fold', justify='right' if right else 'left')
    for run in shown:
        is_live = run.blessed and (run.recipe, run.version) in live
        if is_live:
            live.discard((run.recipe, run.version or ''))  # earlier runs pushed the same version
        table.add_row(
            time_of(run.started),
            run.recipe,
            'live' if is_live else '',
            escape(textwrap.shorten(describe_decision(run), _LONGEST, placeholder=' ...')),
            '' if run.accuracy is None else f'{run.accuracy:.4f}',
            '' if run.seconds is None else f'{run.seconds:,.0f}',
            escape(_describe_changes(changed.get(run.id, {}))),
            escape(run.id),
        )
    return table


def describe_decision(run: Run) -> str:
    """`blessed and pushed`, `not blessed: REASON`, `rollback as version 7 by ann: REASON`."""
    if run.person:
        version = f' as version {run.version}' if run.version else ''
        return f'{run.kind}{version} by {run.person}: {"; ".join(run.reasons)}'
    parts = describe_left_out(run.images, run.left_out)
    if run.blessed:
        pushed = ', unchanged' if run.unchanged else ' and pushed' if run.version else ''
        return '; '.join([f'blessed{pushed}', *parts])
    reasons = '; '.join([*run.reasons[:1], *parts])
    return f'{run.result}: {reasons}' if reasons else str(run.result)


def _describe_changes(changed: dict[str, Any]) -> str:
    """`trainer.seed=7, data.path='b', 2 more`."""
    texts = [f'{key}={_SHORT.repr(value)}' for key, value in changed.items()]
    more = len(texts) - _MOST_CHANGES
    return ', '.join([*texts[:_MOST_CHANGES], *([f'{more} more'] if more > 0 else [])])
