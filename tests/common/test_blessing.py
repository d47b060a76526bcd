import pytest
from ml_metadata.proto.metadata_store_pb2 import Artifact

from common.blessing import CURRENT_MODEL_ID, decision_of, record_decision
from common.metadata_queries import custom_property


@pytest.mark.parametrize(('blessed', 'marker'), [(True, 'BLESSED'), (False, 'NOT_BLESSED')])
def test_stores_decision_like_tfx(tmp_path, blessed, marker):
    blessing = Artifact(uri=str(tmp_path / 'blessing'))

    record_decision(blessing, blessed, Artifact(id=7, uri='/models/7'), Artifact(id=5))

    assert custom_property(blessing, 'blessed') == int(blessed)
    assert custom_property(blessing, 'baseline_model_id') == 5
    assert (decision_of(blessing), custom_property(blessing, CURRENT_MODEL_ID)) == (blessed, 7)
    assert [each.name for each in (tmp_path / 'blessing').iterdir()] == [marker]


def test_empty_blessing_has_no_decision():
    assert decision_of(Artifact()) is None
    assert decision_of(None) is None
