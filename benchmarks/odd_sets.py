"""Calls `init`, then `run`, unchanged, on sets of images as people have them.

Usage: odd_sets.py [--weights WEIGHTS] [--work FOLDER] [--only NAME]... [PLACE]...

PLACE is anything that `init` takes, such as a folder or a zip; without one, the sets of SETS are
made. Prints a table of exit codes, seconds and gate decisions; exits with 1 if a command ended with
another code than 0, or 3 of the gate.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from made_sets import SETS

RUNNER = Path(__file__).parents[1] / 'pipeline_runner.py'


def call(log: Path, *words: object) -> tuple[int, str, str]:
    """Exit code, seconds and output of a command; its errors and log lines are in a file."""
    start = time.monotonic()
    command = [sys.executable, str(RUNNER), *map(str, words)]
    with log.open('w') as errors:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, check=False
        )
    return done.returncode, f'{time.monotonic() - start:.0f}', done.stdout


def last_line(log: Path) -> str:
    return log.read_text(encoding='utf-8').strip().rpartition('\n')[2]


def measure(place: Path, folder: Path, weights: str) -> tuple[bool, tuple[object, ...]]:
    """Whether both commands ended as expected, and the fields of a row of the table."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe, log = folder / 'recipe.yaml', folder / 'log.txt'
    code, seconds, _ = call(log, 'init', place, '-o', recipe, '--weights', weights, '--force')
    if code:
        return False, (code, seconds, '', '', last_line(log))
    ran, more_seconds, output = call(log, 'run', '--config', recipe, '--json')
    if ran in (0, 3):
        record = json.loads(output)
        words = f'accuracy {record["accuracy"]:.4f}, {record["result"]}'
        text = '; '.join([words, *record['reasons']])
    else:
        text = last_line(log)
    return ran in (0, 3), (code, seconds, ran, more_seconds, text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--weights', default='embedded')
    parser.add_argument('--work', type=Path, default=Path('odd_sets'))
    parser.add_argument('--only', action='append', choices=SETS)
    parser.add_argument('places', nargs='*', type=Path)
    options = parser.parse_args()
    places = {each.name: each for each in options.places}
    for name in options.only or (() if places else SETS):
        places[name] = options.work / 'sets' / name
        if not places[name].exists():
            SETS[name](places[name])
    print('| set | init | s | run | s | result |\n| --- | --- | --- | --- | --- | --- |')
    expected = []
    for name, place in places.items():
        ok, row = measure(place, options.work / re.sub(r'\W+', '_', name), options.weights)
        print('|', ' | '.join(map(str, (name, *row))), '|', flush=True)
        expected.append(ok)
    return int(not all(expected))


if __name__ == '__main__':
    sys.exit(main())
