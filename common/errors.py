"""Exception hierarchy of the project.

`pipeline.commands.error_handling` maps them to exit codes. A schedule retries after a retryable
error. A subclass exists only where a caller, or the retries, distinguish it.

A message is one sentence: the thing, what is wrong, what to do. A ConfigError has a line per
mistake. Executors raise these errors too, so they can be pickled.
"""

from typing import ClassVar, Literal

# Exit codes of the command line and of Kubeflow tasks.
FAILED, USAGE, NOT_BLESSED, NOT_MOUNTED, INTERRUPTED = 1, 2, 3, 4, 130

RejectionReason = Literal[
    'unreadable',
    'empty',
    'not an image',
    'unsupported format',
    'truncated',
    'damaged',
    'too small',
    'too large',
    'label outside the list',
    'unknown class',
    'under two labels',
]


class PipelineError(Exception):
    """Base of all errors of the project."""

    exit_code: ClassVar[int] = FAILED  # of the command line
    retryable: bool = False  # whether the same attempt may succeed later


class ConfigError(PipelineError):
    """The configuration cannot be used."""

    exit_code = USAGE


class DataError(PipelineError):
    """The images cannot be used; `retryable` for failures of the network."""

    exit_code = USAGE

    def __init__(self, *arguments: str, retryable: bool = False) -> None:
        super().__init__(*arguments)  # all of them, for pickle
        self.retryable = retryable


class Rejected(DataError):
    """An image cannot be used; `str` gives the reason, and the detail in one clause."""

    def __init__(self, reason: RejectionReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason: RejectionReason = reason
        self.detail = detail

    @classmethod
    def truncated(cls, contents: bytes) -> 'Rejected':
        """Error for a truncated file."""
        end = f'it ends after {len(contents):,} bytes'
        return cls('truncated', f'{end}, in the middle of the picture')

    def __str__(self) -> str:
        return f'{self.reason}: {self.detail}'


class CallFailed(DataError):
    """A call in a limited subprocess failed, exceeded a limit or crashed; `str` is a clause."""


class WorkerDied(CallFailed):
    """A worker process ended before it had answered: by a limit, or as its decoder crashed."""


class DownloadError(DataError):
    """A download failed."""


class StorageError(DataError):
    """Object storage cannot be read or written."""


class ObjectNotFound(StorageError, FileNotFoundError):
    """There is no such object, prefix or bucket."""


class MetadataError(PipelineError):
    """ML Metadata cannot be used."""

    exit_code = USAGE
    retryable = True


class MetadataDamaged(MetadataError):
    """The metadata file is damaged and must be replaced."""

    retryable = False


class ModelError(PipelineError):
    """A model, version or run is unknown or unusable."""

    exit_code = USAGE


class AlreadyRunning(PipelineError):
    """Another run or schedule of the recipe holds the lock."""

    exit_code = USAGE


class RunError(PipelineError):
    """A run failed."""

    retryable = True


class NodeFailed(RunError):
    """A pipeline node failed; `__cause__` is the error of its executor, if any."""


class AnomaliesFound(RunError):
    """The data violates the schema, or its drift or skew is above the threshold."""

    retryable = False


class PushError(RunError):
    """A push, or the removal of older versions, failed; no incomplete version is ever live."""


class KubeflowError(PipelineError):
    """Kubeflow is unreachable or rejects a request; the message contains no secrets."""


class VolumeNotMounted(PipelineError):
    """The metadata has runs whose files are not on this machine."""

    exit_code = NOT_MOUNTED
