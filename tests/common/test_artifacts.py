from pathlib import Path

import pytest

from common.artifacts import folder_of


@pytest.mark.parametrize(
    ('uri', 'folder'), [('/runs/artifacts/1', '/runs/artifacts/1'), ('gs://pets/1', '/gcs/pets/1')]
)
def test_path_is_unchanged_and_bucket_is_mounted_by_vertex_ai(uri, folder):
    assert folder_of(uri) == Path(folder)


def test_rejects_other_object_storage():
    with pytest.raises(ValueError, match='s3://pets/1 is not a local folder'):
        folder_of('s3://pets/1')
