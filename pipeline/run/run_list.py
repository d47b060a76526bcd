"""Lists the runs of recipes from their records, without ML Metadata. Imports no TFX."""

import itertools
import reprlib
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.table import Table

from common.mirror import local_path, uri_of
from common.storage import Bucket, storage_of
from components.pusher.serving_folder import versions_in
from pipeline.formatting import describe_left_out, dotted, table, time_of
from pipeline.run.record import LAST_TICK, RUNS, Run, last_tick, utc_now

_MOST_CHANGES = 3  # in the table
_LONGEST = 100  # characters of a decision in the table
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 24


def homes_in(workdir: Path) -> list[Path]:
    """The homes of all recipes with runs or ticks in a working directory, by name."""
    storage = storage_of(workdir)
    if isinstance(storage, Bucket):
        places = itertools.product(storage.folders(), (RUNS, LAST_TICK))
        homes = (home for home, name in places if storage.names(f'{home}/{name}'))
        return [workdir / home for home in dict.fromkeys(homes)]
    return sorted({path.parent for name in (RUNS, LAST_TICK) for path in workdir.glob(f'*/{name}')})


def describe_present(home: Path, runs: Sequence[Run]) -> list[str]:
    """The live version and the last tick of a recipe, as lines; `runs` are oldest first."""
    serving = _serving_folder(home, runs)
    versions = versions_in(serving)
    live = f'version {versions[-1].name} is live' if versions else 'no version is live'
    lines = [f'{home.name}: {live} in {uri_of(serving)}']
    if tick := last_tick(home, runs, utc_now()):
        why = dict.fromkeys(filter(None, (describe_decision(tick), tick.decision)))
        lines.append(f'{home.name}: last tick {time_of(tick.started)}: {"; ".join(why)}')
    return lines


def _serving_folder(home: Path, runs: Sequence[Run]) -> Path:
    """The serving folder of the last run with a configuration."""
    configs = [run.config for run in runs if run.config]
    directory = configs[-1].get('push_directory') if configs else None
    return local_path(directory or home / 'serving')


def newest(runs: Iterable[Sequence[Run]], last: int) -> list[Run]:
    """The last runs of all recipes, newest first."""
    return sorted(itertools.chain(*runs), key=lambda run: run.started)[: -last - 1 : -1]


def as_table(found: Mapping[Path, Sequence[Run]], shown: Iterable[Run]) -> Table:
    """Some of the runs that were found by home, formatted for the console."""
    live = {run.id for home, runs in found.items() for run in _pushed_live(home, runs)}
    changes = {run.id: text for runs in found.values() for run, text in _changes(runs)}
    rows = [
        [
            time_of(run.started),
            run.recipe,
            'live' if run.id in live else '',
            textwrap.shorten(describe_decision(run), _LONGEST, placeholder=' ...'),
            '' if run.accuracy is None else f'{run.accuracy:.4f}',
            '' if run.seconds is None else f'{run.seconds:,.0f}',
            changes.get(run.id, ''),
            run.id,
        ]
        for run in shown
    ]
    columns = ('started', 'recipe', '', 'decision', 'accuracy', 's', 'changed', 'run')
    return table(columns, rows, right=('accuracy', 's'))


def _pushed_live(home: Path, runs: Sequence[Run]) -> list[Run]:
    """The last run that gave the live version, if there is one; earlier ones pushed the same."""
    live = [path.name for path in versions_in(_serving_folder(home, runs))[-1:]]
    return [run for run in runs if run.blessed and run.version in live][-1:]


def _changes(runs: Sequence[Run]) -> Iterator[tuple[Run, str]]:
    """Yields keys with another value than in the run before: `trainer.seed=7, 2 more`."""
    configured = [run for run in runs if run.config]  # overrides are not
    for earlier, run in itertools.pairwise(configured):
        before, now = dotted(earlier.config), dotted(run.config)
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        texts = [f'{name}={_SHORT.repr(now.get(name))}' for name in names[:_MOST_CHANGES]]
        more = len(names) - len(texts)
        yield run, ', '.join([*texts, *([f'{more} more'] if more else [])])


def describe_decision(run: Run) -> str:
    """`blessed and pushed`, `not blessed: REASON`, `rollback as version 7 by ann: REASON`.

    Of a tick that does not train, why it does not.
    """
    if run.result == 'nothing new':
        return run.decision
    if run.person:
        version = f' as version {run.version}' if run.version else ''
        return f'{run.kind}{version} by {run.person}: {"; ".join(run.reasons)}'
    parts = describe_left_out(run.images, run.left_out)
    if run.blessed:
        pushed = ', unchanged' if run.unchanged else ' and pushed' if run.version else ''
        return '; '.join([f'blessed{pushed}', *parts])
    reasons = '; '.join([*run.reasons[:1], *parts])
    return f'{run.result}: {reasons}' if reasons else str(run.result)
