"""The HTTP interface of the live model: TensorFlow Serving's REST API, metrics, and a page."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import jinja2
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from common import features
from common.errors import Rejected
from common.files import MEGABYTE
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine
from pipeline.serving.rest import parse_request, predictions
from pipeline.serving.served_model import LiveModel, ServedModel

_POLL_SECONDS = 1.0  # as TensorFlow Serving
_RETRY_SECONDS = 10.0  # after a version that cannot be loaded
_THREADS = 8  # requests that are parsed, checked and predicted at the same time
_MAX_IMAGES = 32  # of a request
_MAX_BYTES = 32 * MEGABYTE  # of the body of a request; base64 makes images a third larger
_PAGE = Path(__file__).parent / 'page'
# The page loads nothing from elsewhere, and no other page embeds it.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_REQUESTS = Counter('serve_requests', 'Predict requests.', ['code'])
_SECONDS = Histogram('serve_request_seconds', 'Seconds of a predict request, with its body.')
_REFUSED = Counter('serve_refused_images', 'Images that failed the checks.', ['reason'])


class Service:
    """The endpoints of a model; `app` is the ASGI application.

    `hosts` are the accepted values of the header Host.
    """

    def __init__(
        self, live: LiveModel, name: str, checks: CheckConfig, hosts: tuple[str, ...]
    ) -> None:
        self._live, self._name, self._checks = live, name, checks
        self._threads = anyio.CapacityLimiter(_THREADS)
        model = f'/v1/models/{name}'
        routes = [
            Route('/', self._page),
            Mount('/page', StaticFiles(directory=_PAGE)),
            Route('/monitoring/prometheus/metrics', self._metrics),
        ]
        for path in (model, f'{model}/versions/{{version}}'):
            routes.append(Route(f'{path}:predict', self._predict, methods=['POST']))
            routes.append(Route(f'{path}/metadata', self._metadata))
            routes.append(Route(path, self._status))
        self.app = Starlette(
            routes=routes,
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
            exception_handlers={HTTPException: _error, Exception: _error},
            lifespan=self._following,
        )

    @contextlib.asynccontextmanager
    async def _following(self, _: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(self._follow())
        yield
        task.cancel()

    async def _follow(self) -> None:
        while True:
            loaded = await anyio.to_thread.run_sync(self._live.refresh)
            await asyncio.sleep(_POLL_SECONDS if loaded else _RETRY_SECONDS)

    async def _page(self, _: Request) -> Response:
        template = jinja2.Template((_PAGE / 'page.html.j2').read_text(), autoescape=True)
        page = template.render(name=self._name, max_bytes=_MAX_BYTES)
        headers = {'Content-Security-Policy': _PAGE_POLICY, 'Referrer-Policy': 'no-referrer'}
        return Response(page, headers=headers, media_type='text/html')

    async def _metrics(self, _: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def _status(self, request: Request) -> Response:
        status = {'error_code': 'OK', 'error_message': ''}
        version = self._model(request).version
        listed = {'version': version, 'state': 'AVAILABLE', 'status': status}
        return JSONResponse({'model_version_status': [listed]})

    async def _metadata(self, request: Request) -> Response:
        model = self._model(request)
        spec = {'name': self._name, 'signature_name': '', 'version': model.version}
        signatures = {'signature_def': model.signatures}
        metadata = {'signature_def': signatures, 'classes': model.classes}
        return JSONResponse({'model_spec': spec, 'metadata': metadata})

    async def _predict(self, request: Request) -> Response:
        code = 500
        try:
            with _SECONDS.time():
                model = self._model(request)  # stays in memory, also if a push replaces it
                body, kind = await self._body(request), request.headers.get('content-type', '')
                content = await anyio.to_thread.run_sync(
                    self._predictions, model, body, kind, limiter=self._threads
                )
            code = 200
            return JSONResponse(content)
        except HTTPException as error:
            code = error.status_code
            raise
        finally:
            _REQUESTS.labels(str(code)).inc()

    async def _body(self, request: Request) -> bytes:
        encoding = request.headers.get('content-encoding', 'identity')
        if encoding != 'identity':
            raise HTTPException(415, f'Content-Encoding {encoding[:20]} is not supported')
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_BYTES:
                    limit = f'{_MAX_BYTES / MEGABYTE:g} megabytes'
                    raise HTTPException(413, f'the body has more than {limit}')
        except ClientDisconnect:
            raise HTTPException(400, 'the client disconnected') from None
        return bytes(body)

    def _predictions(self, model: ServedModel, body: bytes, content_type: str) -> dict:
        signature, by_row, images = parse_request(body, content_type)
        if not 1 <= len(images) <= _MAX_IMAGES:
            problem = f'the request has {len(images):,} images'
            raise HTTPException(400, f'{problem}; 1 to {_MAX_IMAGES} are allowed')
        if signature != features.SIGNATURE_PIXELS:
            images = [self._checked(number, contents) for number, contents in enumerate(images)]
        if signature == features.SIGNATURE_EXAMPLES:
            signature = features.SIGNATURE_IMAGES
        return predictions(model.predict(signature, images), model.classes, by_row)

    def _checked(self, number: int, contents: bytes) -> bytes:
        """Checks and converts an image as at ingestion."""
        try:
            return examine(contents, self._checks).contents
        except Rejected as error:
            _REFUSED.labels(error.reason).inc()
            raise HTTPException(400, f'image {number}: {error}') from error

    def _model(self, request: Request) -> ServedModel:
        model, wanted = self._live.current, request.path_params.get('version')
        if wanted not in (None, model.version):
            message = f'version {wanted[:20]} of {self._name} is not loaded'
            raise HTTPException(404, f'{message}; {model.version} is live')
        return model


async def _error(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return JSONResponse({'error': error.detail}, error.status_code)
    return JSONResponse({'error': 'internal error; see the log of the server'}, 500)
