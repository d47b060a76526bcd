import hashlib

import pytest

from common.files import sha256_of, write_atomically


@pytest.mark.parametrize('durable', [False, True])
def test_replaces_file(tmp_path, durable):
    file = tmp_path / 'page.html'
    file.write_text('before')

    write_atomically(file, 'after', durable=durable)

    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {'page.html': 'after'}


def test_failed_write_keeps_old_file(tmp_path):
    file = tmp_path / 'page.html'
    file.write_text('before')

    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, 'half' * 9999 + '\udce9')

    assert [each.read_text() for each in tmp_path.iterdir()] == ['before']


def test_digest_of_file_larger_than_block(tmp_path):
    content = bytes(range(256)) * 8192
    (tmp_path / 'file').write_bytes(content)

    assert sha256_of(tmp_path / 'file') == hashlib.sha256(content).hexdigest()
