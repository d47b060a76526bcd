"""Fuzzes readers of untrusted files for a minute each; `FUZZ_SECONDS` sets another time.

The seeds are 0, 1, 2 and so on; `FUZZ_SEED` sets another first one.
"""

import gzip
import io
import itertools
import os
import tarfile
import time
import zipfile

import hostile_files as made
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from common.errors import DataError
from components.image_example_gen.inspection.limited_process import Limits, call
from components.image_example_gen.sources.archive import extraction
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import every_image
from components.image_example_gen.sources.spans import make_source

SECONDS = float(os.environ.get('FUZZ_SECONDS', '60'))
SEED = int(os.environ.get('FUZZ_SEED', '0'))
PATIENT = pytest.mark.timeout(int(SECONDS) + 300)
EXAMPLES = settings(
    max_examples=200, deadline=None, database=None, suppress_health_check=[*HealthCheck]
)
pytestmark = [pytest.mark.slow, PATIENT]


def mutations(contents):
    """A valid file with bytes changed, and a part removed, repeated or moved to the end."""
    places = st.integers(0, len(contents))
    changes = st.lists(st.tuples(places, st.binary(min_size=1, max_size=8)), max_size=6)

    def change(drawn):
        changed, (start, end), kind = drawn
        damaged = bytearray(contents)
        for place, value in changed:
            damaged[place : place + len(value)] = value
        start, end = sorted((start, end))
        middle = [damaged[start:end], b'', damaged[start:end] * 2, bytes(end - start)][kind]
        return bytes(damaged[:start] + middle + damaged[end:])

    return st.tuples(changes, st.tuples(places, places), st.integers(0, 3)).map(change)


def fuzz(valid, check):
    """Checks mutations of the files for SECONDS; prints their number and the last seed.

    `check` returns the message of the expected error, or an empty text.
    """
    number = 0
    end = time.monotonic() + SECONDS

    @EXAMPLES
    @given(st.sampled_from(valid).flatmap(mutations))
    def run(contents):
        nonlocal number
        if time.monotonic() < end:
            number += 1
            assert '\n' not in check(contents)

    for number_of_seed in itertools.count(SEED):
        if time.monotonic() >= end:
            break
        seed(number_of_seed)(run)()
    print(f'{number:,} files in {SECONDS:g} s, seeds {SEED} to {number_of_seed - 1}')  # noqa: T201
    assert number


def test_parquet(tmp_path):
    path = tmp_path / 'a.parquet'
    columns = made.labelled(pa.array([made.IMAGE] * 6))
    structs = pa.array([{'bytes': b'1', 'path': 'a.jpg'}, None] * 3)
    valid = [
        made.parquet_of(path, columns, made.PETS).read_bytes(),
        made.parquet_of(path, made.labelled(structs), made.PETS).read_bytes(),
        made.parquet_of(path, columns, made.PETS, compression='zstd', version='1.0').read_bytes(),
        made.parquet_of(
            path, [columns[0], ('label', pa.array(['cat', 'dog'] * 3))], data_page_version='2.0'
        ).read_bytes(),
    ]

    def check(contents):
        path.write_bytes(contents)
        try:
            list(every_image(make_source(DataConfig(source='parquet', path=path))))
        except DataError as error:
            return str(error)
        return ''

    fuzz(valid, check)


def test_archives(tmp_path):
    files = {'cats/a.jpg': made.IMAGE, 'dogs/b.png': b'2' * 3000}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
    valid = [packed.getvalue()]
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode='w', format=kind) as archive:
            for name, contents in files.items():
                entry = tarfile.TarInfo(f'{"long" * 30}/{name}')
                entry.size = len(contents)
                archive.addfile(entry, io.BytesIO(contents))
        valid += [packed.getvalue(), gzip.compress(packed.getvalue())]
    path, number = tmp_path / 'a.tar', iter(range(10**9))

    def check(contents):
        path.write_bytes(contents)
        target = tmp_path / 'extracted' / str(next(number))
        error = ''
        try:
            list(call(Limits.for_file(path), extraction.extract_archive, path, target))
        except DataError as raised:
            error = str(raised)
        outside = {each.name for each in tmp_path.iterdir()}
        assert outside <= {'a.tar', 'extracted', 'extracted.lock'}
        return error

    fuzz(valid, check)


def test_csv_files(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(made.IMAGE)
    (tmp_path / 'b.png').write_bytes(b'2' * 3000)
    path = tmp_path / 'a.csv'
    valid = [
        b'path,label\na.jpg,cat\nb.png,dog\n',
        b'\xef\xbb\xbffile;class;split\r\n"a.jpg";"cat ""1""";train\r\nb.png;dog;test\r\n',
        'image\tlabel\tsubject\na.jpg\tchat é\t1\n../b.png\tdog\t2\n'.encode(),
    ]

    def check(contents):
        path.write_bytes(contents)
        try:
            list(every_image(make_source(DataConfig(source='csv', path=path))))
        except DataError as error:
            return str(error)
        return ''

    fuzz(valid, check)
