"""Calls `init`, then `run`, unchanged, on sets of images as people have them.

Usage: odd_sets.py [--weights WEIGHTS] [--work FOLDER] [--only NAME]... [PLACE]...

PLACE is anything that `init` takes, such as a folder or a zip; without one, the sets of SETS are
made. Prints a table of exit codes, gate decisions and seconds; exits with 1 if a command ended with
another code than 0, or 3 of the gate.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from made_sets import SETS

RUNNER = Path(__file__).parents[1] / 'pipeline_runner.py'


def call(*words: object) -> tuple[int, float, str]:
    """Exit code, seconds and output of a command."""
    start = time.monotonic()
    command = [sys.executable, str(RUNNER), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, time.monotonic() - start, done.stdout + done.stderr


def measure(name: str, place: Path, work: Path, weights: str) -> Iterator[object]:
    """The fields of a row of the table."""
    folder = work / re.sub(r'\W+', '_', name)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / 'recipe.yaml'
    code, seconds, output = call('init', place, '-o', recipe, '--weights', weights, '--force')
    yield from (name, code, f'{seconds:.0f}')
    (folder / 'init.txt').write_text(output, encoding='utf-8')
    if code:
        yield from ('', '', output.strip().splitlines()[-1])
        return
    code, seconds, output = call('run', '--config', recipe)
    (folder / 'run.txt').write_text(output, encoding='utf-8')
    yield from (code, f'{seconds:.0f}')
    found = re.findall(r'(?m)^(test accuracy .*|BLESSED|NOT BLESSED.*|error: .*)', output)
    yield '; '.join(each[:150] for each in found)


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
    failed = False
    for name, place in places.items():
        row = list(measure(name, place, options.work, options.weights))
        print('|', ' | '.join(map(str, row)), '|', flush=True)
        failed = failed or row[1] != 0 or row[3] not in (0, 3)
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
