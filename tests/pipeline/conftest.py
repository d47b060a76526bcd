import pytest
from metadata_recorder import Recorder


@pytest.fixture
def recorder() -> Recorder:
    """Records runs in ML Metadata."""
    return Recorder()
