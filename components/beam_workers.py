"""Starts Beam workers on this machine for a cluster, with `environment_type: EXTERNAL`.

    python -m components.beam_workers --address 127.0.0.1:15000

Beam has such a pool, `apache_beam.runners.worker.worker_pool_main`. It listens on all interfaces,
starts the first `python` in PATH, and never reads the standard output of its workers. They import
libraries while they work: two threads that import TensorFlow Model Analysis at the same time may
get an incomplete module.
"""

import argparse
import logging
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

_WORKER = 'import sys; from components.beam_workers import run_worker; run_worker(*sys.argv[1:])'

_log = logging.getLogger('components.beam_workers')  # not __main__


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts a process for each worker; it ends when the cluster closes its connection.

    Identifiers of workers are unique in a task manager only, so none is stopped by its identifier.
    """

    def __init__(self) -> None:
        self._workers: list[subprocess.Popen[bytes]] = []

    def StartWorker(
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        command = [sys.executable, '-c', _WORKER, request.control_endpoint.url, request.worker_id]
        for each in self._workers:
            each.poll()  # else one that ended stays in the table of processes
        self._workers.append(subprocess.Popen(command))
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        return beam_fn_api_pb2.StopWorkerResponse()

    def stop_all(self) -> None:
        """Ends all workers."""
        for worker in self._workers:
            worker.terminate()
            worker.wait()


def run_worker(control_address: str, worker_id: str) -> None:
    """Processes bundles until the cluster closes the connection."""
    import tensorflow_data_validation  # noqa: F401  # before the threads of the worker exist
    import tensorflow_model_analysis  # noqa: F401
    from apache_beam.runners.worker.sdk_worker import SdkHarness

    SdkHarness(control_address, worker_id=worker_id).run()


def main() -> None:
    """Serves until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog='python -m components.beam_workers')
    parser.add_argument(
        '--address',
        default='127.0.0.1:15000',
        help='HOST:PORT to listen on; anyone who can connect can run code (default: %(default)s)',
    )
    address = parser.parse_args().address
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pool = WorkerPool()
    server = grpc.server(ThreadPoolExecutor(), options=[('grpc.so_reuseport', 0)])
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        sys.exit(f'error: --address {address}: {error}')
    server.start()
    _log.info('waiting for clusters at %s', address)
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(None)
    finally:
        pool.stop_all()


if __name__ == '__main__':
    main()
