import pytest

from common import extras


@pytest.mark.parametrize(
    ('checkout', 'command'),
    [(True, '`make venv-dev` adds it'), (False, "`pip install 'catdog-pipeline[onnx]'` adds it")],
)
def test_pip_is_not_for_checkouts(monkeypatch, checkout, command):
    monkeypatch.setattr(extras, '_IS_CHECKOUT', checkout)

    assert extras.how_to_install('onnx') == command
