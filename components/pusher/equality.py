"""Compares SavedModels."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from components.pusher.model_files import GRAPH, digests_of

_FINGERPRINT = 'fingerprint.pb'  # contains a random number


def is_same(one: Mapping[str, Path], other: Mapping[str, Path]) -> bool:
    """Whether two models, given as files by relative path, are equal.

    Trainings with the same seed write identical variables, but graphs that differ in the order and
    the numbering of functions. Such graphs count as equal. TensorFlow's `singleprint` does not
    detect a changed constant, such as a threshold, inside a function.
    """
    first, second = (
        digests_of({name: path for name, path in files.items() if name != _FINGERPRINT})
        for files in (one, other)
    )
    if first.keys() != second.keys():
        return False
    graphs = [digests.pop(GRAPH, None) for digests in (first, second)]
    if first != second:
        return False
    return graphs[0] == graphs[1] or _nodes(one[GRAPH]) == _nodes(other[GRAPH])


def _nodes(graph: Path) -> Counter[str] | bytes:
    """Unordered nodes and signatures of a graph, without numbers in names; bytes if not a graph.

    The connections are part of a node: the names of its inputs.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2  # imports TensorFlow: seconds

    content = graph.read_bytes()
    try:
        model = saved_model_pb2.SavedModel.FromString(content)
    except DecodeError:
        return content
    nodes: Counter[str] = Counter()
    for meta_graph in model.meta_graphs:
        functions = meta_graph.graph_def.library.function
        nodes.update(_without_numbers(node) for node in meta_graph.graph_def.node)
        nodes.update(_without_numbers(node) for each in functions for node in each.node_def)
        nodes.update(_without_numbers(each.signature) for each in functions)
        nodes.update(
            f'{name} {_without_numbers(signature)}'
            for name, signature in meta_graph.signature_def.items()
        )
    return nodes


def _without_numbers(message: object) -> str:
    return re.sub(r'_\d+', '', str(message))
