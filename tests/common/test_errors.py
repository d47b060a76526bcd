import ast
import inspect
import pickle
import re
from pathlib import Path

import pytest

from common import errors
from common.errors import DownloadError, PipelineError, Rejected

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ('common', 'trainer', 'components', 'pipeline')
CLASSES = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, BaseException)
]
FAMILIES = PipelineError.__subclasses__()


def is_error(node: ast.ClassDef) -> bool:
    """Whether the bases of a class look like an exception."""
    names = [ast.unparse(base).rpartition('.')[2] for base in node.bases]
    known = {each.__name__ for each in CLASSES}
    return any(name in known or name.endswith(('Error', 'Exception')) for name in names)


@pytest.mark.parametrize('package', PACKAGES)
def test_public_errors_are_in_common_errors(package):
    found = [
        f'{path}: {node.name}'
        for path in (REPOSITORY / package).rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(node, ast.ClassDef) and is_error(node) and not node.name.startswith('_')
    ]
    own = REPOSITORY / 'common' / 'errors.py'
    assert [each for each in found if not each.startswith(f'{own}: ')] == []
    assert len(found) == (len(CLASSES) if package == 'common' else 0)


@pytest.mark.parametrize('error', CLASSES)
def test_each_error_has_one_family_and_its_exit_code(error):
    families = [family for family in FAMILIES if issubclass(error, family)]
    assert [family.exit_code for family in families] == [error.exit_code] * len(families)
    assert len(families) == (error is not PipelineError)
    assert error.__doc__


def test_docstring_lists_families_with_exit_codes():
    rows = re.findall(r'^\| `(\w+)` \| (\d) \| (yes|no)', errors.__doc__, re.MULTILINE)
    assert {(name, int(code), retried == 'yes') for name, code, retried in rows} == {
        (family.__name__, family.exit_code, family.retryable) for family in FAMILIES
    }


@pytest.mark.parametrize('kind', CLASSES)
def test_errors_can_be_pickled(kind):
    error = kind('too small', 'it has 3 pixels') if kind is Rejected else kind('a sentence')
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


def test_pickled_download_error_keeps_retryable():
    assert pickle.loads(pickle.dumps(DownloadError('cut off', retryable=True))).retryable
