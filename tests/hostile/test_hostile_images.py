"""Hostile images: outcome, CPU time, and memory of all processes together."""

import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import image_bytes as made
import PIL.Image
import pytest

from common.errors import Rejected
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine, worker_processes

INGEST = """
import sys
from pathlib import Path
import apache_beam as beam
import components.image_example_gen.image_example_gen
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine_all
files = sorted(Path(sys.argv[1]).iterdir()) * 2
for _, outcome in examine_all(((None, file.read_bytes()) for file in files), CheckConfig()):
    print(getattr(outcome, 'reason', 'good'))
"""
SIDE = 7900  # pixels of a square of 62 megapixels
TURNED = b'Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0' + bytes(4)


def png_of_zeros(side):
    packer = zlib.compressobj(9)
    rows = [packer.compress(bytes(3 * side + 1)) for _ in range(side)] + [packer.flush()]
    header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    chunks = (b'IHDR', header), (b'IDAT', b''.join(rows)), (b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + b''.join(made.chunk(*each) for each in chunks)


def with_chunk(kind, head, count=1, megabytes=1000):
    plain, packer = made.encoded(made.quarters(), 'PNG'), zlib.compressobj(9)
    zeros = b''.join(packer.compress(bytes(10**6)) for _ in range(megabytes)) + packer.flush()
    chunks = b''.join(made.chunk(kind, b'%d' % each + head + zeros) for each in range(count))
    return plain[:33] + chunks + plain[33:]


def large(kind, mode='RGB', **options):
    return made.encoded(PIL.Image.new(mode, (SIDE, SIDE), 'red'), kind, **options)


HOSTILE = {
    'PNG of 400 megapixels': (lambda: png_of_zeros(20_000), 'too large'),
    'PNG of 62 megapixels': (lambda: png_of_zeros(SIDE), 'good'),
    'PNG with alpha of 62 megapixels': (lambda: large('PNG', 'RGBA'), 'good'),
    'turned JPEG of 62 megapixels': (lambda: large('JPEG', exif=TURNED), 'good'),
    'WebP of 62 megapixels': (lambda: large('WEBP'), 'damaged or too large'),
    'AVIF of 256 megapixels': (made.avif_bomb, 'too large'),
    'GIF of 16 MB of comments': (lambda: made.gif_with_comment(65_000), 'too large'),
    '2,000 scans of 62 megapixels': (lambda: made.with_scans(2000, (SIDE, SIDE)), 'too large'),
    '5,000 small scans': (lambda: made.with_scans(5000, (64, 64)), 'good'),
    'text of 1 GB': (lambda: with_chunk(b'zTXt', b'\0\0'), 'damaged or too large'),
    'profile of 1 GB': (lambda: with_chunk(b'iCCP', b'\0\0'), 'damaged or too large'),
    '60 texts of 50 MB': (lambda: with_chunk(b'iTXt', b'\0\1\0\0\0', 60, 50), 'damaged'),
    'WebP canvas of 268 megapixels': (lambda: made.webp_of_size(16_384, 16_384), 'damaged'),
    'TIFF whose values overlap': (made.tiff_of_long_tags, 'too large'),
}


def proportional_megabytes(process):
    """PSS of a process and of those that it has started, in sessions of their own."""
    processes, total = {process}, 0.0
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            _, parent, _, session = stat.read_text().rsplit(')', 1)[1].split()[:4]
            if {int(parent), int(session)} & processes:
                processes.add(int(stat.parent.name))
        except OSError:
            continue
    for each in processes:
        try:
            rollup = Path(f'/proc/{each}/smaps_rollup').read_text()
        except OSError:
            continue
        total += int(rollup.partition('Pss:')[2].split()[0]) / 1000
    return total


@pytest.mark.slow
@pytest.mark.parametrize('name', HOSTILE)
def test_outcome(name):
    make, expected = HOSTILE[name]
    contents = make()
    started = time.monotonic()
    with worker_processes():
        try:
            outcome = examine(contents, CheckConfig()) and 'good'
        except Rejected as rejected:
            outcome = rejected.reason
    assert outcome in expected.split(' or ')
    assert time.monotonic() - started < 150  # the limit is 28 s of CPU time


@pytest.mark.slow
def test_memory_of_all_processes(tmp_path):
    for number, (make, _) in enumerate(HOSTILE.values()):
        if number not in (6, 7):  # for the sake of time
            (tmp_path / f'{number:02}').write_bytes(make())
    peak = 0.0
    with subprocess.Popen(
        [sys.executable, '-c', INGEST, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
        lines: list[str] = []
        reader.start()
        while process.poll() is None:
            peak = max(peak, proportional_megabytes(process.pid))
            time.sleep(0.05)
        reader.join()
    assert len(lines) == 24
    assert peak < 1600
