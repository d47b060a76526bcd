"""Whether two SavedModels are the same model."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from components.pusher.model_files import GRAPH, digests_of

# Holds a random number, so that no two have the same.
_NO_PART_OF_IT = 'fingerprint.pb'


def is_same(one: Mapping[str, Path], other: Mapping[str, Path]) -> bool:
    """Compares the files of two models, given by their relative paths.

    Two trainings with one seed write the same variables to the byte, and graphs whose functions
    have other numbers in their names and stand in another order: such graphs are equal here. TF's
    own `singleprint` is not enough. It passes over what is in the functions, where a threshold is.
    """
    first, second = _parts(one), _parts(other)
    if first.keys() != second.keys():
        return False
    graphs = [parts.pop(GRAPH, None) for parts in (first, second)]
    if first != second:
        return False
    return graphs[0] == graphs[1] or _program(one[GRAPH]) == _program(other[GRAPH])


def _parts(files: Mapping[str, Path]) -> dict[str, str]:
    return digests_of({name: path for name, path in files.items() if name != _NO_PART_OF_IT})


def _program(graph: Path) -> Counter[str] | bytes:
    """What a graph computes: its nodes without their numbers, in no order.

    Wiring is seen by the names of a node's inputs. What is no graph is itself.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2  # brings in TensorFlow: seconds

    content = graph.read_bytes()
    try:
        model = saved_model_pb2.SavedModel.FromString(content)
    except DecodeError:
        return content
    parts: Counter[str] = Counter()
    for meta_graph in model.meta_graphs:
        functions = meta_graph.graph_def.library.function
        parts.update(_plain(node) for node in meta_graph.graph_def.node)
        parts.update(_plain(node) for each in functions for node in each.node_def)
        parts.update(_plain(each.signature) for each in functions)
        parts.update(
            f'{name} {_plain(signature)}' for name, signature in meta_graph.signature_def.items()
        )
    return parts


def _plain(message: object) -> str:
    return re.sub(r'_\d+', '', str(message))
