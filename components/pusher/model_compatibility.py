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
    try:
        contents = (folder / 'saved_model.pb').read_bytes()
        graphs = saved_model_pb2.SavedModel.FromString(contents).meta_graphs
        weights = tf.train.load_checkpoint(str(folder / 'variables' / 'variables'))
        types = weights.get_variable_to_dtype_map()
        finite = all(
            np.isfinite(weights.get_tensor(name)).all()
            for name, kind in types.items()
            if kind.is_floating
        )
    except (
        OSError,
        DecodeError,
        tf.errors.OpError,
        LookupError,
        ValueError,
        RuntimeError,
    ) as error:
        reason = str(getattr(error, 'message', error)).partition('\n')[0]
        return f'the model in {folder} is missing or damaged ({reason})'
    if not any(SIGNATURE_EXAMPLES in graph.signature_def for graph in graphs):
        return f'the model in {folder} has no signature {SIGNATURE_EXAMPLES}'
    return None if finite else f'weights in {folder} are NaN or infinite'
