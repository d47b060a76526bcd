"""Runs a compiled pipeline on this machine and prints the progress of its components."""

import ctypes
import dataclasses
import datetime
import logging
import threading
from concurrent.futures import Future

from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.proto.orchestration import pipeline_pb2

from common import console
from pipeline.execution.compilation import display_name, set_run_id
from pipeline.execution.launch import NodeResult, launch_node
from pipeline.execution.outcome import SHORT_SECONDS
from pipeline.local.side_process import Answer, SideProcess

# Components that keep one core busy for seconds, and the short ones between them.
_BESIDE_OTHERS = frozenset(
    {'StatisticsGen', 'ExampleValidator', 'previous_statistics', 'AnomalyGate', 'ServingCheck'}
)

_log = logging.getLogger(__name__)


class ProgressDagRunner(LocalDagRunner):
    """TFX's LocalDagRunner with progress output, and some components beside others.

    A component without output that takes less than a second prints one line, when it ends. What a
    component prints beside others follows their output.
    """

    def __init__(self, side: SideProcess | None = None) -> None:
        """Launches some components in a second process, `side`, if there is one."""
        super().__init__()
        self.run_id = datetime.datetime.now().isoformat()  # of its only run, in ML Metadata
        self.results: dict[str, NodeResult] = {}  # by node ID, in topological order
        self._side = side
        # Guards the following, which the thread that waits for the second process changes too.
        self._changed = threading.Condition()
        self._waiting: dict[str, pipeline_pb2.PipelineNode] = {}  # in topological order
        self._ended: set[str] = set()
        self._thread = 0  # that launches the nodes of this process
        self._launching = False  # whether one of them runs
        self._beside: str | None = None  # the node that runs in the second process
        self._answers: list[tuple[str, Answer]] = []  # from there, not printed yet

    def run_with_ir(
        self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None
    ) -> None:
        """Launches each node after its upstream nodes, in topological order.

        Raises:
            NodeFailed: a component failed; one beside it is interrupted, and later ones do not run.
            NotImplementedError: a partial run is requested.
        """
        if run_options is not None:
            raise NotImplementedError('partial runs')
        set_run_id(pipeline, self.run_id)
        nodes = {each.pipeline_node.node_info.id: each.pipeline_node for each in pipeline.nodes}
        self._thread = threading.get_ident()
        self._waiting = dict(nodes)
        try:
            while self._waiting or self._beside or self._answers:
                self._print_answers()
                self._step(pipeline)
        except KeyboardInterrupt:
            self._print_answers()  # raises the error that caused the interrupt, if one did
            raise
        self.results = {node_id: self.results[node_id] for node_id in nodes}

    def _step(self, pipeline: pipeline_pb2.Pipeline) -> None:
        """Launches a node, or waits for the one in the second process."""
        with self._changed:
            if self._answers:
                return  # to print them first: one may be a failure
            self._launch_beside(pipeline)
            node = self._take(beside=False)
            self._launching = node is not None
            waited_for = self._beside
        if node:
            self._launch(pipeline, node)
        elif waited_for:
            with console.titled(display_name(waited_for)):
                with self._changed:
                    self._changed.wait_for(lambda: self._answers)
                result = self._replay()
            self._finish(result)

    def _take(self, *, beside: bool) -> pipeline_pb2.PipelineNode | None:
        """Takes the first waiting node of a process whose upstream nodes have ended."""
        for node_id, node in self._waiting.items():
            goes_beside = self._side is not None and node_id in _BESIDE_OTHERS
            if goes_beside == beside and self._ended.issuperset(node.upstream_nodes):
                return self._waiting.pop(node_id)
        return None

    def _launch(self, pipeline: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode) -> None:
        with console.titled(display_name(node.node_info.id)):
            try:
                result = launch_node(pipeline, node)
            finally:
                with self._changed:
                    self._launching = False
        with self._changed:
            self._ended.add(result.node_id)
        self._finish(result)

    def _launch_beside(self, pipeline: pipeline_pb2.Pipeline) -> None:
        """Launches the next node in the second process, if it has none and one is ready."""
        if self._beside or not (node := self._take(beside=True)):
            return
        assert self._side
        node_id = self._beside = node.node_info.id

        def receive(future: Future[Answer]) -> None:
            with self._changed:
                answer = future.result()
                self._answers.append((node_id, answer))
                self._beside = None
                if not isinstance(answer.result, Exception):
                    self._ended.add(node_id)
                    self._launch_beside(pipeline)
                elif self._launching:
                    _interrupt(self._thread)
                self._changed.notify()

        self._side.submit(pipeline, node_id).add_done_callback(receive)

    def _print_answers(self) -> None:
        """Prints what ended in the second process; raises the error of a failed node."""
        while self._answers:
            with console.titled(display_name(self._answers[0][0])):
                result = self._replay()
            self._finish(result)

    def _replay(self) -> NodeResult:
        """Prints what the first node of `_answers` has logged; raises its error."""
        _, (records, result) = self._answers.pop(0)
        with console.indented():
            console.replay(records)
        if isinstance(result, Exception):
            raise result
        return dataclasses.replace(result, beside=True)

    def _finish(self, result: NodeResult) -> None:
        self.results[result.node_id] = result
        name, ending = display_name(result.node_id), 'cached' if result.cached else 'done'
        timed = not result.cached and result.seconds >= SHORT_SECONDS
        duration = f' in {result.seconds:.1f} s' if timed else ''
        _log.info('%s %s%s', name, ending, duration, extra=console.styled(ending, 'green'))


def _interrupt(thread: int) -> None:
    """Raises KeyboardInterrupt in a thread, as Ctrl-C does in the main thread.

    `_thread.interrupt_main` does nothing if SIGINT is ignored, as in background jobs of a shell.
    """
    error = ctypes.py_object(KeyboardInterrupt)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error)
