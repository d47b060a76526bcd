"""The HTTP interface of the live model: TensorFlow Serving's REST API, metrics, and a page."""

import asyncio
import contextlib
import dataclasses
import functools
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from importlib import resources

import anyio
import jinja2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from common import features
from common.errors import Rejected
from common.files import MEGABYTE
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine
from pipeline.serving.batches import Image
from pipeline.serving.live_model import LiveModel, ServedModel
from pipeline.serving.metrics import CONTENT_TYPE, Metrics
from pipeline.serving.rest import PredictRequest, json_response, parse_request, predictions
from trainer.export.image_example import only_image

_POLL_SECONDS = 1.0  # as TensorFlow Serving
_BODY_SECONDS, _MEMORY_SECONDS, _PREDICT_SECONDS = 30, 10, 60
_READERS = 8  # threads that parse bodies and check images
_BODIES = 4  # of the largest size, in memory at the same time
# The page loads nothing from elsewhere, and no other page embeds it.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_FILES = {'page.css': 'text/css', 'page.js': 'text/javascript'}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of a predict request."""

    max_images: int
    max_bytes: int  # of the body


def create_app(
    live: LiveModel,
    metrics: Metrics,
    *,
    name: str,
    checks: CheckConfig,
    limits: Limits,
    hosts: tuple[str, ...] = ('*',),
    poll_seconds: float = _POLL_SECONDS,
) -> Starlette:
    """Creates the application; `hosts` are the accepted values of the header Host."""
    service = _Service(live, metrics, name, checks, limits)
    model = f'/v1/models/{name}'
    version = f'{model}/versions/{{version}}'
    routes = [
        Route('/', service.page),
        *(Route(f'/{file}', functools.partial(_page_file, file)) for file in _PAGE_FILES),
        Route(f'{model}:predict', service.predict, methods=['POST']),
        Route(f'{version}:predict', service.predict, methods=['POST']),
        Route(model, service.status),
        Route(f'{model}/metadata', service.metadata),
        Route(version, service.status),
        Route(f'{version}/metadata', service.metadata),
        Route('/monitoring/prometheus/metrics', service.metrics),
    ]

    @contextlib.asynccontextmanager
    async def following(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(live.follow(poll_seconds))
        yield
        task.cancel()

    return Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)],
        exception_handlers={HTTPException: service.error, Exception: _internal_error},
        lifespan=following,
    )


class _Service:
    """The endpoints."""

    def __init__(
        self, live: LiveModel, metrics: Metrics, name: str, checks: CheckConfig, limits: Limits
    ) -> None:
        self._live, self._metrics, self._name = live, metrics, name
        self._checks, self._limits = checks, limits
        self._readers = anyio.CapacityLimiter(_READERS)
        self._parsing = threading.Lock()  # parsed JSON may take ten times the memory of its text
        self._memory = _Memory(_BODIES * limits.max_bytes)
        page = jinja2.Template(_resource('page.html.j2').decode(), autoescape=True)
        self._page = page.render(name=name, max_bytes=limits.max_bytes)

    async def page(self, _: Request) -> Response:
        """The page that classifies photographs in a browser."""
        headers = {
            'Content-Security-Policy': _PAGE_POLICY,
            'X-Content-Type-Options': 'nosniff',
            'Referrer-Policy': 'no-referrer',
        }
        return Response(self._page, headers=headers, media_type='text/html')

    async def error(self, _: Request, error: Exception) -> Response:
        """An error as JSON; that of an unknown path names the path of the model."""
        assert isinstance(error, HTTPException)
        unknown = error.detail == HTTPStatus.NOT_FOUND.phrase
        text = f'{error.detail}; the model is /v1/models/{self._name}' if unknown else error.detail
        return json_response({'error': text}, error.status_code)

    async def metrics(self, _: Request) -> Response:
        """Prometheus metrics."""
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def status(self, request: Request) -> Response:
        """The states of all versions, or of one."""
        states = self._live.states()
        wanted = request.path_params.get('version')
        if wanted is not None:
            if wanted not in states:
                raise self._unknown(wanted)
            states = {wanted: states[wanted]}
        listed = [
            {
                'version': version,
                'state': state,
                'status': {'error_code': 'UNKNOWN' if error else 'OK', 'error_message': error},
            }
            for version, (state, error) in states.items()
        ]
        return json_response({'model_version_status': listed})

    async def metadata(self, request: Request) -> Response:
        """Signatures and classes."""
        model = self._model(request)
        spec = {'name': self._name, 'signature_name': '', 'version': model.version}
        return json_response({'model_spec': spec, 'metadata': model.metadata()})

    async def predict(self, request: Request) -> Response:
        """Predictions for the images of a request."""
        code, started = 500, time.perf_counter()
        try:
            with self._metrics.active.track_inprogress():
                response = await self._predict(request)
            code = response.status_code
        except HTTPException as error:
            code = error.status_code
            raise
        finally:
            self._metrics.requests.labels(str(code)).inc()
            self._metrics.seconds.observe(time.perf_counter() - started)
        return response

    async def _predict(self, request: Request) -> Response:
        model = self._model(request)  # stays in memory until the response, also after a push
        self._check_size(int(request.headers.get('content-length', 0)))
        async with self._receive(request) as body:
            with _time_limit(_PREDICT_SECONDS, 504, 'there was no prediction'):
                parsed, images = await anyio.to_thread.run_sync(
                    self._read_images, body, model.image_size, limiter=self._readers
                )
                rows = await model.predict(parsed.signature, images)
                content = predictions(rows, parsed.by_row)
                return await anyio.to_thread.run_sync(json_response, content)

    def _check_size(self, length: int) -> None:
        most = self._limits.max_bytes
        if length > most:
            message = f'the body has more than {most / MEGABYTE:g} megabytes'
            raise HTTPException(413, message)

    @contextlib.asynccontextmanager
    async def _receive(self, request: Request) -> AsyncIterator[bytearray]:
        """The body of a request, which takes memory as it arrives, until the end of the context."""
        body, taken = bytearray(), 0
        try:
            with _time_limit(_BODY_SECONDS, 408, 'the body did not arrive'):
                async for chunk in request.stream():
                    self._check_size(taken + len(chunk))
                    with _time_limit(_MEMORY_SECONDS, 503, 'the server had no memory free'):
                        await self._memory.take(len(chunk))
                    taken += len(chunk)
                    body += chunk
            yield body
        except ClientDisconnect:
            raise HTTPException(400, 'the client disconnected') from None
        finally:
            self._memory.give_back(taken)

    def _read_images(self, body: bytearray, image_size: int) -> tuple[PredictRequest, list[Image]]:
        """Checks and converts the images, as at ingestion, before they join those of others."""
        started = time.monotonic()
        with self._parsing:
            request = parse_request(body, self._limits.max_images, image_size)
        body.clear()  # the caller holds it until the response
        images = [Image(pixels, pixels.size // 3) for pixels in request.pixels]
        for number, contents in enumerate(request.files):
            if time.monotonic() > started + _PREDICT_SECONDS:
                raise TimeoutError
            try:
                image = examine(contents, self._checks)
            except Rejected as error:
                self._metrics.refused.labels(error.reason).inc()
                raise HTTPException(400, f'image {number}: {error}') from error
            examples = request.signature == features.SIGNATURE_EXAMPLES
            value = only_image(image.contents) if examples else image.contents
            images.append(Image(value, image.width * image.height))
        return request, images

    def _model(self, request: Request) -> ServedModel:
        """The live model; raises HTTPException if the request is for another version."""
        model, wanted = self._live.current, request.path_params.get('version')
        if wanted not in (None, model.version):
            raise self._unknown(wanted)
        return model

    def _unknown(self, version: str) -> HTTPException:
        live = self._live.current.version
        message = f'version {version[:20]} of {self._name} is not loaded; {live} is live'
        return HTTPException(404, message)


class _Memory:
    """Bytes that the bodies of requests may occupy together; further requests wait."""

    def __init__(self, size: int) -> None:
        self._free, self._released = size, asyncio.Event()

    async def take(self, amount: int) -> None:
        """Waits until `amount` bytes are free, and takes them."""
        while self._free < amount:
            self._released.clear()
            await self._released.wait()
        self._free -= amount

    def give_back(self, amount: int) -> None:
        """Frees bytes that were taken."""
        self._free += amount
        self._released.set()


@contextlib.contextmanager
def _time_limit(seconds: float, status: int, message: str) -> Iterator[None]:
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError:
        raise HTTPException(status, f'{message} within {seconds:g} seconds') from None


def _resource(name: str) -> bytes:
    return (resources.files('pipeline.serving') / 'page' / name).read_bytes()


async def _page_file(name: str, _: Request) -> Response:
    return Response(_resource(name), media_type=_PAGE_FILES[name])


async def _internal_error(_request: Request, _error: Exception) -> Response:
    return json_response({'error': 'internal error; see the log of the server'}, 500)
