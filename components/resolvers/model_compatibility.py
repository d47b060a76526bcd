"""Whether a SavedModel that was written long ago can still be used, in milliseconds.

Loading it and asking it once takes more than a second, and every run would wait for that. What is
looked at instead is what goes wrong with files and versions: the graph can be read, has the
signature, and asks for no operation that this TensorFlow lacks; every weight can be read, which
compares its checksum, and is a number.
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
    """What is wrong with the SavedModel of a Model artifact, as a clause; None if it can be used.

    Args:
        model: where the artifact is.
    """
    folder = Path(path_utils.serving_model_path(str(folder_of(model))))
    if not folder.is_dir():
        return f'{folder} is gone'
    return _of_graph(folder / _GRAPH) or _of_weights(folder / _VARIABLES)


def _of_graph(file: Path) -> str | None:
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
    """What a MetaGraphDef asks of TensorFlow."""
    functions = graph.graph_def.library.function
    own = {each.signature.name for each in functions}
    nodes = [*graph.graph_def.node, *(node for each in functions for node in each.node_def)]
    return {node.op for node in nodes} - own


def _lacks(operation: str) -> bool:
    from tensorflow.python.framework import op_def_registry  # there is no public one

    return op_def_registry.get(operation) is None


def _of_weights(prefix: Path) -> str | None:
    try:
        weights = tf.train.load_checkpoint(str(prefix))
        for name, kind in weights.get_variable_to_dtype_map().items():
            value = weights.get_tensor(name)
            if kind.is_floating and not np.isfinite(value).all():
                return f'weights in {prefix.parent} are not numbers'
    except (tf.errors.OpError, LookupError, ValueError, RuntimeError) as error:  # by its kind
        return f'the weights in {prefix.parent} cannot be read ({_first_line(error)})'
    return None


def _first_line(error: Exception) -> str:
    return str(getattr(error, 'message', error)).splitlines()[0]
