from pathlib import Path

import pytest

from common.artifacts import folder_of


def test_a_path_is_itself():
    assert folder_of('/runs/artifacts/1') == Path('/runs/artifacts/1')


def test_a_bucket_is_where_vertex_ai_mounts_it():
    assert folder_of('gs://pets/artifacts/1') == Path('/gcs/pets/artifacts/1')


def test_other_object_storage_is_refused():
    with pytest.raises(
        ValueError, match='s3://pets/1 is no folder; object storage is used through'
    ):
        folder_of('s3://pets/1')
