"""The HTTP interface, with a small model."""

import asyncio
import concurrent.futures
import contextlib
import json
import socket
import unittest.mock
import urllib.parse

import pytest
import requests
from image_bytes import png_of_size
from odd_images import bad_files
from running_server import MAX_BYTES, MAX_IMAGES, NAME
from uvicorn.server import ServerState

from components.inference.classifier import Classifier
from pipeline.serving import app
from pipeline.serving import server as server_module
from trainer.export.image_example import only_image


def test_responses_do_not_wait_for_the_acknowledgement_of_a_client():
    with (
        server_module.listen('127.0.0.1', 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_predicts_like_the_saved_model(server, models, pets):
    expected = Classifier(models[0]).outputs('serve_images', [*pets.values()])

    response = server.predict(*pets.values())

    assert response.status_code == 200
    assert response.headers['Content-Type'] == 'application/json'
    found = response.json()['predictions']
    assert [each['class'] for each in found] == [['cats'], ['dogs']]
    for name in ('probability', 'logit'):
        assert [each[name][0] for each in found] == pytest.approx(expected[name].ravel(), abs=1e-5)


@pytest.mark.parametrize('version', ['', '/versions/1'])
def test_all_signatures_agree(server, pets, version):
    dog = pets['dogs']
    pixels = [[[[200, 200, 200]] * 32] * 32]
    body = {'signature_name': 'serve_pixels', 'inputs': pixels}

    answers = [
        server.predict(dog, version=version),
        server.predict(dog, signature='explain_images', version=version),
        server.predict(only_image(dog), signature='serving_default', version=version),
    ]
    by_pixels = requests.post(f'{server.url}{version}:predict', json=body, timeout=60)

    first, explained, by_example = (answer.json()['predictions'][0] for answer in answers)
    assert first['class'] == by_example['class'] == explained['class'] == ['dogs']
    assert by_example['logit'] == pytest.approx(first['logit'])
    assert len(explained['heat_map']) == len(explained['heat_map'][0]) == 32
    assert by_pixels.json()['outputs']['class'] == [['dogs']]


def test_status_and_metadata_have_the_forms_of_tensorflow_serving(server):
    ok = {'error_code': 'OK', 'error_message': ''}
    state = {'version': '1', 'state': 'AVAILABLE', 'status': ok}
    for path in ('', '/versions/1'):
        answer = requests.get(server.url + path, timeout=60)
        assert answer.json() == {'model_version_status': [state]}

        metadata = requests.get(f'{server.url}{path}/metadata', timeout=60).json()
        assert metadata['model_spec'] == {'name': NAME, 'signature_name': '', 'version': '1'}
        assert metadata['metadata']['classes'] == ['cats', 'dogs']
        serve_images = metadata['metadata']['signature_def']['signature_def']['serve_images']
        assert serve_images['method_name'] == 'tensorflow/serving/predict'
        assert [each['dtype'] for each in serve_images['inputs'].values()] == ['DT_STRING']


@pytest.mark.parametrize(
    ('method', 'path', 'status', 'error'),
    [
        ('GET', '/versions/2', 404, 'version 2 of pets is not loaded; 1 is live'),
        ('POST', '/versions/2:predict', 404, 'version 2 of pets is not loaded; 1 is live'),
        ('GET', f'/versions/{"9" * 5000}', 404, f'version {"9" * 20} of pets is not loaded'),
        ('GET', '/versions/..%2F..%2F1/metadata', 404, 'Not Found'),
        ('GET', ':predict', 405, 'Method Not Allowed'),
        ('POST', ':classify', 404, 'Not Found; the model is /v1/models/pets'),
        ('GET', '2', 404, 'Not Found'),
    ],
)
def test_unknown_paths_and_versions_are_json_errors(server, method, path, status, error):
    response = requests.request(method, server.url + path, timeout=60)

    assert response.status_code == status
    assert response.json()['error'].startswith(error)


def test_refuses_pixels_of_another_size_and_too_many_images(server, pets):
    body = {'signature_name': 'serve_pixels', 'instances': [[[[0, 0, 0]] * 16] * 16]}
    pixels = requests.post(f'{server.url}:predict', json=body, timeout=60)
    many = server.predict(*[pets['dogs']] * (MAX_IMAGES + 1))

    assert pixels.status_code == many.status_code == 400
    assert 'must have shape [32, 32, 3]' in pixels.json()['error']
    assert f'at most {MAX_IMAGES} are allowed' in many.json()['error']


@pytest.mark.parametrize('chunked', [False, True])
def test_body_above_limit_gets_413_while_it_is_read(server, chunked):
    pieces = [b' ' * 1000] * (MAX_BYTES // 1000 + 1)
    body = iter(pieces) if chunked else b''.join(pieces)

    response = requests.post(f'{server.url}:predict', data=body, timeout=60)

    assert response.status_code == 413
    assert response.json() == {'error': 'the body has more than 0.2 megabytes'}


def test_bad_images_cost_their_own_request_only(server, pets):
    bad = {
        **{name: contents for name, (contents, _) in bad_files().items()},
        'bomb.png': png_of_size(20_000, 20_000),
    }
    bad = {name: contents for name, contents in bad.items() if len(contents) < MAX_BYTES // 2}
    mixed = [contents for each in bad.values() for contents in (each, pets['dogs'], pets['cats'])]

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        responses = [*pool.map(server.predict, mixed)]

    for refused, dog, cat in zip(*(iter(responses),) * 3, strict=True):
        assert refused.status_code == 400
        assert refused.json()['error'].startswith('image 0: ')
        assert dog.json()['predictions'][0]['class'] == ['dogs']
        assert cat.json()['predictions'][0]['class'] == ['cats']
    bomb = responses[3 * [*bad].index('bomb.png')].json()['error']
    assert bomb.startswith('image 0: too large: it has 20,000 by 20,000 pixels')


def test_error_names_the_bad_image_of_a_request(server, pets):
    response = server.predict(pets['dogs'], pets['dogs'][:500])

    assert response.status_code == 400
    assert response.json()['error'].startswith('image 1: truncated')


def connect(server, length):
    """A client that announces a body, and sends none."""
    host, port = server.base.removeprefix('http://').rstrip('/').split(':')
    client = socket.create_connection((host, int(port)))
    lines = ('Host: localhost', f'Content-Length: {length}', '', '')
    client.sendall('\r\n'.join([f'POST /v1/models/{NAME}:predict HTTP/1.1', *lines]).encode())
    return client


def test_body_that_does_not_arrive_has_a_time_limit(server, monkeypatch):
    monkeypatch.setattr(app, '_BODY_SECONDS', 0.3)

    with connect(server, 9) as client:
        answer = client.recv(10_000).decode()

    assert answer.startswith('HTTP/1.1 408 ')


def test_bodies_that_do_not_arrive_take_no_memory_from_others(server, pets):
    with contextlib.ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(connect(server, MAX_BYTES))

        response = server.predict(pets['dogs'])

    assert response.status_code == 200


def test_bodies_wait_until_there_is_memory_for_them():
    async def take_twice():
        memory = app._Memory(10)
        await memory.take(8)
        second = asyncio.create_task(memory.take(5))
        await asyncio.sleep(0)
        waited = not second.done()
        memory.give_back(8)
        await asyncio.wait_for(second, timeout=10)
        return waited

    assert asyncio.run(take_twice())


@pytest.mark.parametrize(('host', 'status'), [('evil.example', 400), ('localhost:1', 200)])
def test_local_server_accepts_only_local_host_names(server, host, status):
    assert requests.get(server.url, headers={'Host': host}, timeout=60).status_code == status


def read_metrics(server):
    text = requests.get(f'{server.base}monitoring/prometheus/metrics', timeout=60).text
    lines = (line.rsplit(' ', 1) for line in text.splitlines() if line[0] != '#')
    return {name: float(value) for name, value in lines}


def test_metrics_count_requests_images_and_versions(server, pets):
    before = read_metrics(server)
    server.predict(pets['dogs'], pets['cats'])
    server.predict(b'text')

    after = read_metrics(server)

    added = {
        'serve_requests_total{code="200"}': 1,
        'serve_requests_total{code="400"}': 1,
        'serve_refused_images_total{reason="not an image"}': 1,
        'serve_batch_size_sum': 2,
        'serve_request_seconds_count': 2,
    }
    assert {name: after[name] - before.get(name, 0) for name in added} == added
    values = {
        'serve_model_version': 1,
        'serve_model_loads_total{result="loaded"}': 1,
        'serve_active_requests': 0,
    }
    assert {name: after[name] for name in values} == values


def _fail(*_):
    raise FileNotFoundError('/no/such/file')


def test_internal_errors_do_not_show_details(server, pets, monkeypatch):
    monkeypatch.setattr(server.live.current, 'predict', _fail)

    response = server.predict(pets['dogs'])

    assert response.status_code == 500
    assert json.loads(response.text) == {'error': 'internal error; see the log of the server'}


def test_page_loads_nothing_from_elsewhere(server):
    page = requests.get(server.base, timeout=60)

    assert "default-src 'none'" in page.headers['Content-Security-Policy']
    assert 'data-model="v1/models/pets"' in page.text
    for file in ('page.css', 'page.js'):
        assert file in page.text
        loaded = requests.get(server.base + file, timeout=60)
        assert loaded.status_code == 200
        assert 'http' not in loaded.text + page.text


def test_connection_without_a_request_is_closed(make_server, monkeypatch):
    monkeypatch.setattr(server_module, '_HEADER_SECONDS', 0.2)
    server = make_server()
    address = urllib.parse.urlsplit(server.base)
    for start in (b'', b'GET / HTTP/1.1\r\nX-Slow: '):
        with socket.create_connection((address.hostname, address.port), timeout=30) as client:
            client.sendall(start)
            assert client.recv(100) == b''


def test_limit_of_the_headers_does_not_apply_to_the_body(monkeypatch):
    timers = []

    async def respond(scope, receive, send):
        while (await receive())['more_body']:
            pass
        responded.set()

    async def receive_slowly():
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def record(seconds, *arguments):
            timers.append((seconds, call_later(seconds, *arguments)))
            return timers[-1][1]

        monkeypatch.setattr(loop, 'call_later', record)
        config = server_module.create_server(respond).config
        config.load()
        connection = config.http_protocol_class(config, ServerState(), {})
        connection.connection_made(unittest.mock.Mock(spec=asyncio.Transport))
        connection.data_received(b'POST / HTTP/1.1\r\nHost: localhost\r\n')
        before = running(timers)
        connection.data_received(b'Content-Length: 4\r\n\r\n')
        during = running(timers)
        connection.data_received(b'body')
        await responded.wait()
        return before, during

    def running(timers):
        limit = server_module._HEADER_SECONDS
        return sum(not timer.cancelled() for seconds, timer in timers if seconds == limit)

    responded = asyncio.Event()
    assert asyncio.run(receive_slowly()) == (1, 0)
