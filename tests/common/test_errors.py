import inspect
import pickle

import pytest

from common import errors
from common.errors import DownloadError, Rejected

CLASSES = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, BaseException)
]


@pytest.mark.parametrize('kind', CLASSES)
def test_errors_can_be_pickled(kind):
    error = kind('too small', 'it has 3 pixels') if kind is Rejected else kind('a sentence')
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


def test_pickled_download_error_keeps_retryable():
    assert pickle.loads(pickle.dumps(DownloadError('cut off', retryable=True))).retryable
