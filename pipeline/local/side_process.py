"""A second process that launches nodes beside those of the main process."""

import concurrent.futures
import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, NamedTuple

from common import console
from common.errors import NodeFailed
from pipeline.execution.quick_imports import quick_imports

if TYPE_CHECKING:
    from tfx.proto.orchestration import pipeline_pb2

    from pipeline.execution.launch import NodeResult


OVERLAP = 'CATDOG_OVERLAP'  # environment variable; `off`: one component at a time


class Answer(NamedTuple):
    """What the process sends after a node."""

    records: list[logging.LogRecord]  # that the node has logged
    result: 'NodeResult | Exception'


@contextlib.contextmanager
def side_process() -> Iterator['SideProcess | None']:
    """Starts a second process, and ends it after the block.

    There is none if there is only one core, or if CATDOG_OVERLAP is `off`.
    """
    if os.environ.get(OVERLAP) == 'off' or len(os.sched_getaffinity(0)) == 1:
        yield None
        return
    process = SideProcess()
    try:
        yield process
    finally:
        process.kill()


class SideProcess:
    """Launches nodes one after the other in a process of its own, which sees no GPU.

    It imports the libraries while the main process does. A fork of the main process would need no
    imports, but would copy the locks of its threads in any state.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context('spawn')
        self._connection, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end,), daemon=True)
        self._process.start()
        other_end.close()  # the end of the process closes the last one, and `recv` raises EOFError
        self._waiting = concurrent.futures.ThreadPoolExecutor(1)

    def submit(self, ir: 'pipeline_pb2.Pipeline', node_id: str) -> 'Future[Answer]':
        """Launches a node; the result is a NodeFailed if the process sends none."""
        return self._waiting.submit(self._call, ir.SerializeToString(), node_id)

    def _call(self, ir: bytes, node_id: str) -> Answer:
        try:
            self._connection.send((ir, node_id))
            return self._connection.recv()
        except (OSError, EOFError):
            reason = 'its process ended, perhaps out of memory'
        except Exception as error:  # without an answer the runner would wait forever
            reason = f'its result is unreadable: {error}'
        return Answer([], NodeFailed(f'{node_id} failed: {reason}'))

    def kill(self) -> None:
        """Ends the process, and those that it has started, at once."""
        try:
            assert self._process.pid
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has no group yet, or has ended
            self._process.kill()
        self._process.join()
        self._waiting.shutdown()
        self._connection.close()


def _serve(connection: Connection) -> None:
    """Launches the nodes that the main process sends, until that process ends."""
    os.setsid()  # Ctrl-C reaches the main process only; `kill` reaches all processes of this one
    _end_with_parent()
    os.environ['CUDA_VISIBLE_DEVICES'] = '-1'  # TensorFlow would take all memory of a GPU
    with quick_imports():
        import pipeline.graph  # noqa: F401 - with the modules of the executors
        from pipeline.execution.launch import launch_node, node_of

    from tfx.proto.orchestration import pipeline_pb2

    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            serialized, node_id = connection.recv()
            ir = pipeline_pb2.Pipeline.FromString(serialized)
            with console.collected() as records:
                try:
                    result: NodeResult | Exception = launch_node(ir, node_of(ir, node_id))
                except Exception as error:
                    traceback.print_exc()  # for the log
                    result = error
            connection.send(Answer(records, result))


def _end_with_parent() -> None:
    """Ends this process group at once when the main process is killed, also within a node.

    The lock of the recipe is free then: a node of this run would write beside the next run.
    """
    parent = multiprocessing.parent_process()
    assert parent  # this runs in the second process

    def wait() -> None:
        parent.join()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
