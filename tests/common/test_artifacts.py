import pytest

from common.artifacts import folder_of


def test_rejects_object_storage():
    with pytest.raises(ValueError, match='s3://pets/1 is not a local folder'):
        folder_of('s3://pets/1')
