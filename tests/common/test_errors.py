import inspect
import pickle
import re

import pytest

from common import errors
from common.errors import AnomaliesFound, DownloadError, NodeFailed, PipelineError, Rejected

CLASSES = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, BaseException)
]


def test_docstring_lists_families_with_exit_codes():
    rows = re.findall(r'^\| `(\w+)` \| (\d) \| (yes|no)', errors.__doc__, re.MULTILINE)
    assert {(name, int(code), retried == 'yes') for name, code, retried in rows} == {
        (family.__name__, family.exit_code, family.retryable)
        for family in PipelineError.__subclasses__()
    }


@pytest.mark.parametrize('kind', CLASSES)
def test_errors_can_be_pickled(kind):
    error = kind('too small', 'it has 3 pixels') if kind is Rejected else kind('a sentence')
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


def test_pickled_download_error_keeps_retryable():
    assert pickle.loads(pickle.dumps(DownloadError('cut off', retryable=True))).retryable


@pytest.mark.parametrize(
    ('cause', 'kept'), [(AnomaliesFound('drift'), AnomaliesFound), (ValueError(), type(None))]
)
def test_pickled_node_failure_keeps_the_cause_that_decides_on_retries(cause, kept):
    failure = NodeFailed('AnomalyGate failed: drift')
    failure.__cause__ = cause
    loaded = pickle.loads(pickle.dumps(failure))
    assert (type(loaded), str(loaded)) == (NodeFailed, 'AnomalyGate failed: drift')
    assert isinstance(loaded.__cause__, kept)
