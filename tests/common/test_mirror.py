"""Local folders that mirror object storage."""

from pathlib import Path

import pytest

from common.mirror import is_remote, local_path, uri_of


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('CATDOG_CACHE', str(tmp_path))
    return tmp_path


@pytest.mark.parametrize('uri', ['s3://pets', 's3://pets/runs/a b', 'gs://pets/1/x.json'])
def test_path_and_uri_are_inverse(cache, uri):
    path = local_path(uri)
    assert path.is_relative_to(cache)
    assert uri_of(path) == uri_of(str(path)) == uri_of(uri) == uri
    assert is_remote(path)
    assert is_remote(uri)
    assert uri_of(path / 'x') == f'{uri}/x'


@pytest.mark.parametrize('place', ['/runs/pets', 'runs', '', '/'])
def test_local_places_stay_as_they_are(place):
    assert local_path(place) == Path(place)
    assert uri_of(place) == place
    assert not is_remote(place)


def test_cache_itself_is_local(cache):
    assert not any(map(is_remote, (cache, cache / 's3', cache / 'extracted' / 'pets')))


@pytest.mark.parametrize('uri', ['ftp://pets/x', 's3://', 's3://pets/../x', 's3://pets//x'])
def test_other_uris_are_refused(uri):
    with pytest.raises(ValueError, match='is neither a local folder nor'):
        local_path(uri)
