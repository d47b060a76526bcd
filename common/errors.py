"""Every error that the project raises on purpose; imports nothing of the project.

| family | exit code | retried | raised when |
| --- | --- | --- | --- |
| `ConfigError` | 2 | no | a recipe, option, schedule or weights file is wrong or unsuitable |
| `DataError` | 2 | no | the images cannot be used |
| `MetadataError` | 2 | yes, but for a damaged file | ML Metadata cannot be used |
| `ModelError` | 2 | no | a model, version or run is unknown or cannot be used |
| `AlreadyRunning` | 2 | no | another run or schedule of the recipe holds the lock |
| `RunError` | 1 | yes, but for anomalies | a component failed, or a push is not possible |
| `KubeflowError` | 1 | no | Kubeflow cannot be reached, or refuses |

`pipeline.commands.errors` handles all of them for the command line. A tick of a schedule runs again
after an error that is retried. A subclass exists only where something distinguishes it.

A message is one sentence that names the thing, what is wrong and what to do; a ConfigError has a
line for each mistake. Executors raise these errors too, so they can be pickled.
"""

from typing import ClassVar, Literal

RejectionReason = Literal[
    'unreadable',
    'empty',
    'not an image',
    'unsupported format',
    'truncated',
    'damaged',
    'too small',
    'too large',
    'animated',
    'label outside the list',
    'under two labels',
]


class PipelineError(Exception):
    """Base of all errors of the project.

    Attributes:
        exit_code: of the command line.
        retryable: whether another attempt, without any change, may succeed.
    """

    exit_code: ClassVar[int] = 1
    retryable: bool = False


class ConfigError(PipelineError):
    """The configuration cannot be used."""

    exit_code = 2


class DataError(PipelineError):
    """The images cannot be used."""

    exit_code = 2


class Rejected(DataError):
    """One image cannot be used; `str` of it gives reason and detail.

    Attributes:
        reason: the kind of problem.
        detail: the problem in one clause, such as "it ends after 4,096 bytes, in the middle of the
            picture".
    """

    def __init__(self, reason: RejectionReason, detail: str) -> None:
        super().__init__(reason, detail)  # both, so that it can be pickled
        self.reason: RejectionReason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f'{self.reason}: {self.detail}'


class DownloadError(DataError):
    """A file cannot be fetched from the web; `retryable` is set for each."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class MetadataError(PipelineError):
    """ML Metadata cannot be used."""

    exit_code = 2
    retryable = True


class MetadataDamaged(MetadataError):
    """The metadata file is damaged, and stays so until somebody replaces it."""

    retryable = False


class ModelError(PipelineError):
    """A model, version or run is unknown, or cannot be used."""

    exit_code = 2


class AlreadyRunning(PipelineError):
    """Another run or schedule of the recipe holds the lock."""

    exit_code = 2


class RunError(PipelineError):
    """A run failed."""

    retryable = True


class NodeFailed(RunError):
    """A node of the pipeline failed; the cause is the error of its executor, if there was one."""


class AnomaliesFound(RunError):
    """The data does not fit the schema, or its drift is above the threshold."""

    retryable = False


class PushError(RunError):
    """A model was not pushed, or older versions not removed; no incomplete version is ever live."""


class KubeflowError(PipelineError):
    """Kubeflow cannot be reached, or refuses; the message holds no secret."""
