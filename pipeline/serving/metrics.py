"""Prometheus metrics of the server."""

import prometheus_client

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The metrics of one server, and those of its process (memory, CPU time, open files)."""

    def __init__(self) -> None:
        self._registry = registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        self.requests = prometheus_client.Counter(
            'serve_requests', 'Predict requests.', ['code'], registry=registry
        )
        self.seconds = prometheus_client.Histogram(
            'serve_request_seconds',
            'Seconds of a predict request, with the transfer of its body.',
            buckets=_SECONDS,
            registry=registry,
        )
        self.active = prometheus_client.Gauge(
            'serve_active_requests', 'Predict requests in progress.', registry=registry
        )
        self.refused = prometheus_client.Counter(
            'serve_refused_images', 'Images that failed the checks.', ['reason'], registry=registry
        )
        self.batch_size = prometheus_client.Histogram(
            'serve_batch_size', 'Images of a batch.', buckets=_SIZES, registry=registry
        )
        self.version = prometheus_client.Gauge(
            'serve_model_version', 'The version that is served.', registry=registry
        )
        self.loads = prometheus_client.Counter(
            'serve_model_loads', 'Versions loaded.', ['result'], registry=registry
        )
        self.load_seconds = prometheus_client.Gauge(
            'serve_model_load_seconds',
            'Seconds to load and warm up a version.',
            registry=registry,
        )

    def text(self) -> bytes:
        """The metrics in the text format of Prometheus."""
        return prometheus_client.generate_latest(self._registry)
