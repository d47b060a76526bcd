"""ML Metadata's gRPC service in Python; the real server exists only as a container image."""

import contextlib
from collections.abc import Iterator
from concurrent import futures

import grpc
from ml_metadata.metadata_store.pywrap import metadata_store_extension
from ml_metadata.proto import metadata_store_pb2, metadata_store_service_pb2

PASSWORD = 'not in any message'

_library = metadata_store_extension.metadata_store
_SERVICE = metadata_store_service_pb2.DESCRIPTOR.services_by_name['MetadataStoreService']
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@contextlib.contextmanager
def serve(config: metadata_store_pb2.ConnectionConfig | None) -> Iterator[int]:
    """Serves a metadata store, or no service, on a free port of 127.0.0.1; yields the port.

    Each method passes the bytes of its request to the function of the same name in ml_metadata's
    C++ library, and returns the bytes of the response. The store is not thread-safe, so there is
    one worker.
    """
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    if config is not None:
        migration = metadata_store_pb2.MigrationOptions().SerializeToString()
        store = _library.CreateMetadataStore(config.SerializeToString(), migration)
        handlers = {
            method.name: grpc.unary_unary_rpc_method_handler(_handler(store, method.name))
            for method in _SERVICE.methods
            if hasattr(_library, method.name)  # three, which clients do not call, are missing
        }
        service = grpc.method_handlers_generic_handler(_SERVICE.full_name, handlers)
        server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port('127.0.0.1:0')
    server.start()
    yield port
    server.stop(grace=None).wait()


def _handler(store: object, name: str):
    def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
        response, message, code = getattr(_library, name)(store, request)
        if code:
            context.abort(_CODES[code], message.decode())
        return response

    return handle
