"""Makes the pictures and numbers of the documentation from a run of the demo.

    python docs/make_pictures.py [--workdir FOLDER] [--output docs/pictures]

With a folder of an earlier call the run is cached, and only the pictures are made again. The
folder gets links to this checkout, so that commands print paths as in a checkout. Needs Chromium
and `make venv-dev`.
"""

import argparse
import contextlib
import datetime
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageChops
from chromium import CHROMIUM, open_page
from figures import bars, lines
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text
from scipy.stats import multinomial

from common import stack
from components.drawings import draw
from components.evaluation.comparison import score_bound
from components.evaluation.config import EvaluationConfig
from pipeline.run.record import Run, read_runs

ROOT = Path(__file__).parents[1]
PROGRAM = ('.venv/bin/python', 'pipeline_runner.py')
RUNS = 'runs'
WORKDIR = f'--workdir={RUNS}'  # otherwise those of this checkout
MARGIN = EvaluationConfig().margin
DISCORDANT = 0.04  # share of the images that exactly one of two good models classifies correctly
SIZES = (50, 75, 100, 130, 160, 200, 300, 400, 600, 800)
CANDIDATES = {'equal': 0.0, 'worse by 0.02': 0.02, f'worse by {MARGIN}': MARGIN}
LEAST = 1e-5  # probability of a number of changed images that counts
COLUMNS = 110  # of the recording
LARGEST = 200_000  # bytes of a PNG


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--workdir', type=Path, help='folder for runs/; default: temporary')
    parser.add_argument('--output', type=Path, default=ROOT / 'docs' / 'pictures')
    options = parser.parse_args()
    if CHROMIUM is None:
        sys.exit('error: Chromium is not installed; apt-get install chromium')
    with contextlib.ExitStack() as contexts:
        temporary = Path(contexts.enter_context(tempfile.TemporaryDirectory()))
        workdir = (options.workdir or temporary / 'checkout').absolute()
        options.output.mkdir(parents=True, exist_ok=True)
        make(workdir, temporary, options.output)
    for file in sorted(options.output.iterdir()):
        print(f'{file}: {file.stat().st_size / 1000:.0f} kB')


def make(workdir: Path, temporary: Path, output: Path) -> None:
    home = workdir / RUNS / 'demo'
    if not home.exists():
        workdir.mkdir(parents=True, exist_ok=True)
        for name in PROGRAM:
            link = workdir / Path(name).parts[0]
            if not link.is_symlink():
                link.symlink_to(ROOT / link.name)
        recording = pipeline('run', workdir)
        (home / 'recording.txt').write_text(recording, encoding='utf-8')
    recording = (home / 'recording.txt').read_text(encoding='utf-8')
    (output / 'run.svg').write_text(recorded(recording, workdir), encoding='utf-8')
    run = read_runs(home)[0]
    (output / 'seconds.svg').write_text(seconds_of(run), encoding='utf-8')
    (output / 'numbers.md').write_text(numbers(run), encoding='utf-8')
    (output / 'gate.svg').write_text(gate(), encoding='utf-8')
    profile = temporary / 'browser'
    screenshot(home / 'last_run.html', output / 'report.png', profile)
    screenshot(home / 'last_run.html', output / 'report_phone.png', profile, width=390)
    with served(workdir) as url:
        photograph_server(url, temporary, output / 'serve.png', profile)


def pipeline(command: str, workdir: Path, *options: str) -> str:
    """Runs a command of the demo, and returns what it prints."""
    done = subprocess.run(
        [*PROGRAM, command, WORKDIR, *options],
        cwd=workdir,
        env={**os.environ, 'COLUMNS': str(COLUMNS)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f'error: {command} ended with {done.returncode}:\n{done.stdout}{done.stderr}')
    return done.stdout


def recorded(output: str, workdir: Path) -> str:
    """An SVG of the lines of a run."""
    text = output.replace(str(workdir), '/home/ann/catdog-pipeline').replace(f' {WORKDIR}', '')
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in ['$ make run', *text.splitlines()]:
        console.print(Text(line), overflow='fold')
    own_fonts = re.sub(r'@font-face \{\{.*?\}\}', '', CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title='make run', theme=SVG_EXPORT_THEME, code_format=own_fonts)


def seconds_of(run: Run) -> str:
    total = run.seconds or 0.0
    least = 0.005 * total  # shorter ones are in the rest
    seconds = {name: value for name, value in run.nodes.items() if value >= least}
    seconds['imports, report, rest'] = total - sum(seconds.values())
    return bars(seconds, f'Demo, {total:.0f} s from images to pushed model')


def gate() -> str:
    curves = {name: [(n, pushed(n, x)) for n in SIZES] for name, x in CANDIDATES.items()}
    caption = (
        f'Pushed candidates at a margin of {MARGIN}, {DISCORDANT:.0%} discordant images or more'
    )
    return lines(curves, caption, 'test images', marks=(50, 100, 200, 400, 800))


def pushed(images: int, drop: float) -> float:
    """The exact probability that a candidate is pushed whose accuracy is lower by `drop`."""
    worse = max((DISCORDANT + drop) / 2, drop)
    shares = [worse - drop, worse, 1 - 2 * worse + drop]
    most = int(images * worse + 5 * (images * worse) ** 0.5 + 5)
    counts = [(b, c, images - b - c) for b in range(most) for c in range(min(most, images - b))]
    weights = multinomial.pmf(counts, images, shares)
    return sum(
        weight
        for (b, c, _), weight in zip(counts, weights, strict=True)
        if weight > LEAST
        and -score_bound(c, b, images) >= 0
        and (score_bound(b, c, images) > -MARGIN or b + c == 0)
    )


def numbers(run: Run) -> str:
    """A table of the run, with version and machine."""
    cpu = re.search(r'model name\s*: (.*)', Path('/proc/cpuinfo').read_text())
    machine = f'{len(os.sched_getaffinity(0))} cores, {cpu[1].strip() if cpu else "unknown"}'
    accuracy = dict(run.metrics['accuracy'])
    rows = {
        'images': f'{run.images:,}',
        'wall time, with imports': f'{run.seconds:.0f} s',
        'of it training': f'{run.nodes["Trainer"]:.0f} s',
        'test accuracy, 95 % interval': '{value:.3f} ({low:.3f} to {high:.3f})'.format(**accuracy),
        'gate': run.result,
        'stack': stack.describe(),
        'machine': machine,
        'load average, with this run': f'{os.getloadavg()[1]:.1f}',
        'date': f'{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}',
    }
    lines_ = ['| recipe `demo` | |', '| --- | --- |']
    return '\n'.join([*lines_, *(f'| {name} | {value} |' for name, value in rows.items()), ''])


def screenshot(page: Path, png: Path, profile: Path, width: int = 1280) -> None:
    with open_page(page.as_uri(), profile) as opened:
        opened.resize(width)
        save(opened, png)


def save(page: Any, png: Path) -> None:
    """Writes what is visible first, with as many colours as fit into LARGEST bytes."""
    raw = png.with_suffix('.raw')
    page.screenshot(raw)
    with PIL.Image.open(raw) as image:
        visible = trimmed(image.convert('RGB').crop((0, 0, image.width, min(image.height, 1000))))
    raw.unlink()
    for colours in (256, 128, 64, 32):
        visible.quantize(colours, dither=PIL.Image.Dither.NONE).save(png, optimize=True)
        if png.stat().st_size <= LARGEST:
            return
    sys.exit(f'error: {png} has more than {LARGEST // 1000} kB')


def trimmed(image: PIL.Image.Image) -> PIL.Image.Image:
    """Without the empty part at the bottom, but a margin."""
    empty = PIL.Image.new('RGB', image.size, image.getpixel((0, image.height - 1)))
    box = PIL.ImageChops.difference(image, empty).getbbox()
    return image.crop((0, 0, image.width, min(box[3] + 32, image.height))) if box else image


@contextlib.contextmanager
def served(workdir: Path) -> Iterator[str]:
    """Serves the live model on a free port."""
    with subprocess.Popen(
        [*PROGRAM, 'serve', WORKDIR, '--port', '0'],
        cwd=workdir,
        env={**os.environ, 'PYTHONUNBUFFERED': '1'},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            found = next(filter(None, (re.search(r'http://\S+', x) for x in process.stdout)), None)
            if found is None:
                sys.exit('error: serve ended without an address')
            yield found[0]
        finally:
            process.terminate()


def photograph_server(url: str, temporary: Path, png: Path, profile: Path) -> None:
    images = []
    for number, name in ((1, 'first'), (2, 'second')):
        file = temporary / f'{name}.jpg'
        file.write_bytes(draw(number, seed=10**6))
        images.append(file)
    with open_page(url, profile) as page:
        page.resize(1280)
        page.choose_files('#files', images)
        end = time.monotonic() + 120
        while page.evaluate("document.querySelectorAll('[data-done]').length") < len(images):
            if time.monotonic() > end:
                sys.exit('error: the page of serve shows no prediction')
            time.sleep(0.2)
        save(page, png)


if __name__ == '__main__':
    main()
