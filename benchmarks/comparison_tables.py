"""Tables of `pipeline_benchmark.py`: seconds of components, rates, and the comparison."""

import statistics
from typing import Any

from rich.table import Table
from timed_commands import Run


def component_table(runs: list[tuple[Run, dict[str, Any]]]) -> Table:
    """Median seconds of each component and of the parts of the Trainer."""
    table = Table('component', 'seconds', title='The pipeline', title_justify='left')
    for name in runs[0][1]['nodes']:
        table.add_row(name, _median(s['nodes'][name] for _, s in runs))
        if name == 'Trainer':
            for part in runs[0][1]['trainer']:
                table.add_row(f'  {part}', _median(s['trainer'][part]['seconds'] for _, s in runs))
    inside = [sum(s['nodes'].values()) for _, s in runs]
    rest = [run.seconds - seconds for (run, _), seconds in zip(runs, inside, strict=True)]
    table.add_row('imports, data preparation, the rest', _median(rest))
    table.add_row('everything', _median(run.seconds for run, _ in runs))
    return table


def rate_table(timings: list[dict[str, Any]], rates: dict[str, float]) -> Table:
    """Images per second of each part of the Trainer, and the bare rates."""
    table = Table('stage', 'images/s', title='Rates', title_justify='left')
    for part, first in timings[0].items():
        if first['images']:
            table.add_row(part, f'{statistics.median(_rate(each[part]) for each in timings):.0f}')
    for name, rate in rates.items():
        table.add_row(f'bare: {name}', f'{rate:.0f}')
    return table


def comparison_table(pipeline_runs: list[Any], plain_runs: list[Any]) -> Table:
    """Ratio of wall times per pair, memory and accuracy of both."""
    table = Table('', 'pipeline', 'plain script', title='Both', title_justify='left')
    both = pipeline_runs, plain_runs
    table.add_row('seconds, median', *(_median(run.seconds for run, _ in runs) for runs in both))
    pairs = zip(pipeline_runs, plain_runs, strict=True)
    ratios = [mine.seconds / other.seconds for (mine, _), (other, _) in pairs]
    spread = f'{min(ratios):.2f} to {max(ratios):.2f}'
    table.add_row('ratio, median', f'{statistics.median(ratios):.2f} ({spread})', '1')
    peaks = (f'{max(run.peak_mb for run, _ in runs):.0f}' for runs in both)
    table.add_row('peak memory, MB', *peaks)
    accuracies = (_mean(result['accuracy'] for _, result in runs) for runs in both)
    table.add_row('test accuracy, mean', *accuracies)
    if plain_runs[0][1]['accuracy_after_head'] is not None:
        after_head = _mean(result['accuracy_after_head'] for _, result in plain_runs)
        table.add_row('  after the head alone', '', after_head)
    return table


def over_bare_cost(runs: list[tuple[Run, dict[str, Any]]], rates: dict[str, float]) -> str:
    """Ratio of the Trainer's seconds to decoding and one forward pass of each of its images."""
    parts = runs[0][1]['trainer']
    images = sum(part['images'] for name, part in parts.items() if name.startswith('embedding'))
    bare = images * sum(1 / rate for rate in rates.values())
    trainer = statistics.median(s['nodes']['Trainer'] for _, s in runs)
    return (
        f'Trainer {trainer:.1f} s, bare decoding and forward pass of its {images:.0f} images '
        f'{bare:.1f} s: ratio {trainer / bare:.2f}'
    )


def _rate(part: dict[str, float]) -> float:
    return part['images'] / part['seconds']


def _median(values: Any) -> str:
    return f'{statistics.median(values):.1f}'


def _mean(values: Any) -> str:
    found = list(values)
    return f'{statistics.mean(found):.4f} ({min(found):.4f} to {max(found):.4f})'
