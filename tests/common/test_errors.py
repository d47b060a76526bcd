import inspect
import pickle
import re

import pytest

from common import errors
from common.errors import DownloadError, PipelineError, Rejected

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
