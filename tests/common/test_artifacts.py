from pathlib import Path

import pytest

from common.artifacts import folder_of


def test_path_is_unchanged():
    assert folder_of('/runs/artifacts/1') == Path('/runs/artifacts/1')


def test_bucket_is_mounted_by_vertex_ai():
    assert folder_of('gs://pets/artifacts/1') == Path('/gcs/pets/artifacts/1')


def test_rejects_other_object_storage():
    with pytest.raises(ValueError, match='s3://pets/1 is not a local folder'):
        folder_of('s3://pets/1')
