"""Checks in milliseconds whether an old SavedModel is still usable.

Loading the model and one prediction take more than a second per run. This checks the files instead:
the graph is readable, has the signature, and uses only operations of this TensorFlow; the
checksums of the weights are correct and no weight is NaN or infinite.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tfx.utils import path_utils

from common.artifacts import folder_of
from common.features import SIGNATURE_EXAMPLES

_GRAPH, _VARIABLES = 'saved_model.pb', 'variables/variables'


def why_unusable(model: str) -> str | None:
    """Why the SavedModel of a Model artifact is unusable, as one clause; None if it is usable.

    Args:
        model: URI of the artifact.
    """
    folder = Path(path_utils.serving_model_path(str(folder_of(model))))
    if not folder.is_dir():
        return f'{folder} does not exist'
    return _check_graph(folder / _GRAPH) or _check_weights(folder / _VARIABLES)


def _check_graph(file: Path) -> str | None:
    try:
        graphs = saved_model_pb2.SavedModel.FromString(file.read_bytes()).meta_graphs
    except OSError as error:
        return f'{file} cannot be read: {error.strerror}'
    except DecodeError:
        return f'{file} is damaged'
    signatures = [name for graph in graphs for name in graph.signature_def]
    if SIGNATURE_EXAMPLES not in signatures:
        return f'{file} has no signature {SIGNATURE_EXAMPLES}'
    unknown = sorted({name for graph in graphs for name in _operations(graph) if _lacks(name)})
    return f'this TensorFlow has no operation {", ".join(unknown)}' if unknown else None


def _operations(graph: Any) -> set[str]:
    """TensorFlow operations of a MetaGraphDef."""
    functions = graph.graph_def.library.function
    own = {each.signature.name for each in functions}
    nodes = [*graph.graph_def.node, *(node for each in functions for node in each.node_def)]
    return {node.op for node in nodes} - own


def _lacks(operation: str) -> bool:
    from tensorflow.python.framework import op_def_registry  # no public API

    return op_def_registry.get(operation) is None


def _check_weights(prefix: Path) -> str | None:
    try:
        weights = tf.train.load_checkpoint(str(prefix))
        for name, kind in weights.get_variable_to_dtype_map().items():
            value = weights.get_tensor(name)
            if kind.is_floating and not np.isfinite(value).all():
                return f'weights in {prefix.parent} are NaN or infinite'
    except (
        tf.errors.OpError,
        LookupError,
        ValueError,
        RuntimeError,
    ) as error:
        return f'the weights in {prefix.parent} cannot be read ({_first_line(error)})'
    return None


def _first_line(error: Exception) -> str:
    return str(getattr(error, 'message', error)).splitlines()[0]
