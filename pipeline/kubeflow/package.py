"""The compiled pipeline that is handed to Kubeflow."""

from pathlib import Path

import yaml

from common.errors import KubeflowError

_Loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)  # ten times as fast, where it is built in


def require_package(package: Path) -> None:
    """Checks that a file is a pipeline that kfp has compiled.

    The client of kfp would submit an empty mapping, and answers other wrong files with tracebacks.

    Raises:
        KubeflowError: it is not.
    """
    if package.suffix not in ('.yaml', '.yml'):
        raise KubeflowError(f'{package} is no pipeline package; expected a .yaml that kfp compiled')
    try:
        documents = list(yaml.load_all(package.read_text(encoding='utf-8'), _Loader))
    except (OSError, UnicodeDecodeError) as error:
        raise KubeflowError(f'{package} cannot be read: {error}') from None
    except yaml.YAMLError as error:
        raise KubeflowError(f'{package} is not YAML: {" ".join(str(error).split())}') from None
    spec = documents[0] if documents else None
    if not isinstance(spec, dict) or not {'pipelineInfo', 'root'} <= set(spec):
        raise KubeflowError(f'{package} is no compiled pipeline: it has no pipelineInfo and root')
