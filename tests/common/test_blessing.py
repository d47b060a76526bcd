import datetime

import pytest
from ml_metadata.proto.metadata_store_pb2 import Artifact

from common.blessing import (
    OVERRIDE,
    ManualOverride,
    decision_of,
    is_blessed,
    is_overridden,
    model_id_of,
    record_decision,
    record_override,
    write_override,
)
from common.metadata_queries import custom_property

MODEL = Artifact(id=7, uri='/models/7')
NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.timezone.utc)


def override(blessed: bool) -> ManualOverride:
    return ManualOverride(blessed=blessed, person='ada', reason='seen', moment=NOW)


def files(folder):
    return [each.name for each in folder.iterdir()]


@pytest.mark.parametrize(('blessed', 'marker'), [(True, 'BLESSED'), (False, 'NOT_BLESSED')])
def test_stores_decision_like_tfx(tmp_path, blessed, marker):
    blessing = Artifact(uri=str(tmp_path / 'blessing'))

    record_decision(blessing, blessed, MODEL, baseline=None)

    assert custom_property(blessing, 'blessed') == int(blessed)
    assert (decision_of(blessing), model_id_of(blessing)) == (blessed, 7)
    assert files(tmp_path / 'blessing') == [marker]
    assert not is_overridden(blessing)


def test_override_replaces_marker_file(tmp_path):
    blessing = Artifact(uri=str(tmp_path))
    record_decision(blessing, False, MODEL, baseline=None)

    record_override(blessing, override(True))

    assert decision_of(blessing) is True
    assert files(tmp_path) == ['BLESSED']
    assert is_overridden(blessing)


def test_override_does_not_recreate_missing_folder(tmp_path):
    blessing = Artifact(uri=str(tmp_path / 'gone'))
    record_override(blessing, override(False))
    assert decision_of(blessing) is False
    assert files(tmp_path) == []


def test_empty_blessing_has_no_decision():
    assert decision_of(Artifact()) is None
    assert decision_of(None) is None


def test_predictions_are_not_an_overridden_blessing():
    predictions = Artifact()
    predictions.custom_properties[OVERRIDE].string_value = override(True).model_dump_json()
    assert not is_overridden(predictions)


@pytest.mark.parametrize('by_gate', [True, False])
def test_override_replaces_gate_decision(tmp_path, by_gate):
    assert is_blessed(tmp_path, by_gate) is by_gate
    write_override(tmp_path, override(not by_gate))
    assert is_blessed(tmp_path, by_gate) is not by_gate
