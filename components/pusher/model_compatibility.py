"""Checks in milliseconds whether an old SavedModel is still usable.

Loading the model and one prediction take more than a second per run. This checks the files instead:
the graph is readable and has the signature; the checksums of the weights are correct and no weight
is NaN or infinite.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from common.features import SIGNATURE_EXAMPLES


def why_unusable(folder: Path) -> str | None:
    """Why the SavedModel in a folder is unusable; None if it is usable."""
    if not folder.is_dir():
        return f'{folder} does not exist'
    return _check_graph(folder / 'saved_model.pb') or _check_weights(folder / 'variables')


def _check_graph(file: Path) -> str | None:
    try:
        graphs = saved_model_pb2.SavedModel.FromString(file.read_bytes()).meta_graphs
    except OSError as error:
        return f'{file} cannot be read: {error.strerror}'
    except DecodeError:
        return f'{file} is damaged'
    if not any(SIGNATURE_EXAMPLES in graph.signature_def for graph in graphs):
        return f'{file} has no signature {SIGNATURE_EXAMPLES}'
    return None


def _check_weights(folder: Path) -> str | None:
    try:
        weights = tf.train.load_checkpoint(str(folder / 'variables'))
        for name, kind in weights.get_variable_to_dtype_map().items():
            if kind.is_floating and not np.isfinite(weights.get_tensor(name)).all():
                return f'weights in {folder} are NaN or infinite'
    except (tf.errors.OpError, LookupError, ValueError, RuntimeError) as error:
        reason = str(getattr(error, 'message', error)).splitlines()[0]
        return f'the weights in {folder} cannot be read ({reason})'
    return None
