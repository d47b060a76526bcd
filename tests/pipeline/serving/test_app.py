"""The HTTP interface, with a small model."""

import concurrent.futures
import socket
import time

import pytest
import requests
from image_bytes import png_of_size
from odd_images import bad_files
from running_server import MAX_BYTES, MAX_IMAGES, NAME

from components.inference.classifier import Classifier
from trainer.export.image_example import only_image


def test_keep_alive_request_does_not_wait_for_the_acknowledgement_of_a_client(server):
    """A delayed acknowledgement takes 40 ms; the median of many is robust on a busy machine."""
    seconds = []
    with requests.Session() as session:
        for _ in range(21):
            started = time.perf_counter()
            assert session.get(server.url, timeout=60).status_code == 200
            seconds.append(time.perf_counter() - started)

    assert sorted(seconds)[len(seconds) // 2] < 0.03


def test_predicts_like_the_saved_model(server, models, pets):
    outputs = Classifier(models[0]).outputs('serve_images', [*pets.values()])
    of_dogs = outputs['probability'].ravel()

    response = server.predict(*pets.values())

    assert (response.status_code, response.headers['Content-Type']) == (200, 'application/json')
    cat, dog = response.json()['predictions']
    assert (cat['class'], dog['class']) == ('cats', 'dogs')
    assert [cat['confidence'], dog['confidence']] == pytest.approx(
        [1 - of_dogs[0], of_dogs[1]], abs=1e-5
    )
    assert list(cat['probabilities']) == ['cats', 'dogs']
    assert cat['probabilities']['dogs'] == pytest.approx(of_dogs[0], abs=1e-5)
    assert [*cat['logit'], *dog['logit']] == pytest.approx(outputs['logit'].ravel())


@pytest.mark.parametrize('version', ['', '/versions/1'])
def test_all_signatures_agree(server, pets, version):
    dog = pets['dogs']
    body = {'signature_name': 'serve_pixels', 'inputs': [[[[200, 200, 200]] * 32] * 32]}
    requested = {'serve_images': dog, 'explain_images': dog, '': only_image(dog)}

    first, explained, by_example = (
        server.predict(image, signature=name, version=version).json()['predictions'][0]
        for name, image in requested.items()
    )
    by_pixels = requests.post(f'{server.url}{version}:predict', json=body, timeout=60)

    assert by_example == first
    assert first['class'] == explained['class'] == 'dogs'
    assert len(explained['heat_map']) == len(explained['heat_map'][0]) == 32
    assert by_pixels.json()['outputs']['class'] == ['dogs']


def test_files_are_uploaded_as_a_form_or_as_the_body(server, pets):
    cat, dog = pets['cats'], pets['dogs']
    files = [('file', ('cat.jpg', cat)), ('file', ('dog.jpg', dog))]
    expected = server.predict(cat, dog).json()['predictions']

    def post(**body):
        return requests.post(f'{server.url}:predict', **body, timeout=60).json()['predictions']

    for name in ('', 'serving_default', 'serve_images'):
        assert post(files=files, data={'signature_name': name}) == expected
    # The second one is of curl --data-binary.
    for kind in ('image/jpeg', 'application/x-www-form-urlencoded'):
        assert post(data=dog, headers={'Content-Type': kind}) == expected[1:]
    explained = post(files=files, data={'signature_name': 'explain_images'})
    assert [each['class'] for each in explained] == ['cats', 'dogs']
    assert all('heat_map' in each for each in explained)


@pytest.mark.parametrize(
    ('body', 'error'),
    [
        ({'data': b'text'}, 'image 0: not an image'),
        ({'data': b'\x1f\x8b\x08\x00\x00'}, 'image 0: not an image'),
        ({'files': {'file': b'text'}}, 'image 0: not an image'),
        ({'files': {'file': b'x'}, 'data': {'signature_name': 'serve_pixels'}}, 'each image must'),
        ({'json': {'instances': []}}, 'the request has 0 images; 1 to 8 are allowed'),
        ({'files': [('file', b'x')] * (MAX_IMAGES + 1)}, 'the request has 9 images; 1 to 8 are'),
        *(
            (
                {'json': {'signature_name': 'serve_pixels', 'instances': [pixels]}},
                'each image must have numbers of shape [32, 32, 3]',
            )
            for pixels in ([[[0, 0, 0]] * 16] * 16, [1, [2]], 10**400, {})
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_refuses_other_bodies_in_a_line(server, body, error):
    response = requests.post(f'{server.url}:predict', **body, timeout=60)

    assert response.status_code == 400
    assert response.json()['error'].startswith(error)


def test_refuses_compressed_bodies(server):
    gzip = {'Content-Encoding': 'gzip'}
    response = requests.post(f'{server.url}:predict', data=b'x', headers=gzip, timeout=60)

    assert response.status_code == 415
    assert response.json()['error'].startswith('Content-Encoding gzip is not supported')


def test_status_and_metadata_have_the_forms_of_tensorflow_serving(server):
    ok = {'error_code': 'OK', 'error_message': ''}
    state = {'version': '1', 'state': 'AVAILABLE', 'status': ok}
    for path in ('', '/versions/1'):
        status = requests.get(server.url + path, timeout=60).json()
        metadata = requests.get(f'{server.url}{path}/metadata', timeout=60).json()

        assert status == {'model_version_status': [state]}
        assert metadata['model_spec'] == {'name': NAME, 'signature_name': '', 'version': '1'}
        assert metadata['metadata']['classes'] == ['cats', 'dogs']
        serve_images = metadata['metadata']['signature_def']['signature_def']['serve_images']
        assert serve_images['method_name'] == 'tensorflow/serving/predict'
        assert [each['dtype'] for each in serve_images['inputs'].values()] == ['DT_STRING']


@pytest.mark.parametrize(
    ('method', 'path', 'status', 'error'),
    [
        ('POST', '/versions/2:predict', 404, 'version 2 of pets is not loaded; 1 is live'),
        ('GET', f'/versions/{"9" * 5000}', 404, f'version {"9" * 20} of pets is not loaded'),
        ('GET', '/versions/..%2F..%2F1/metadata', 404, 'Not Found'),
        ('GET', ':predict', 405, 'Method Not Allowed'),
    ],
)
def test_unknown_paths_and_versions_are_json_errors(server, method, path, status, error):
    response = requests.request(method, server.url + path, timeout=60)

    assert response.status_code == status
    assert response.json()['error'].startswith(error)


@pytest.mark.parametrize('chunked', [False, True])
def test_body_above_limit_gets_413_while_it_is_read(server, chunked):
    pieces = [b' ' * 1000] * (MAX_BYTES // 1000 + 1)
    body = iter(pieces) if chunked else b''.join(pieces)

    response = requests.post(f'{server.url}:predict', data=body, timeout=60)

    assert response.status_code == 413
    assert response.json() == {'error': 'the body has more than 0.2 megabytes'}


def test_bad_images_cost_their_own_request_only(server, pets):
    files = [png_of_size(20_000, 20_000), *(contents for contents, _ in bad_files().values())]
    bad = [each for each in files if len(each) < MAX_BYTES // 2]
    mixed = [contents for each in bad for contents in (each, pets['dogs'], pets['cats'])]

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        responses = [*pool.map(server.predict, mixed)]

    for refused, dog, cat in zip(*(iter(responses),) * 3, strict=True):
        assert refused.status_code == 400
        assert refused.json()['error'].startswith('image 0: ')
        assert dog.json()['predictions'][0]['class'] == 'dogs'
        assert cat.json()['predictions'][0]['class'] == 'cats'
    bomb = responses[0].json()['error']
    assert bomb.startswith('image 0: too large: it has 20,000 by 20,000 pixels')
    assert server.predict(pets['dogs'], pets['dogs'][:500]).json()['error'].startswith('image 1: ')


@pytest.mark.parametrize(('host', 'status'), [('evil.example', 400), ('localhost:1', 200)])
def test_local_server_accepts_only_local_host_names(server, host, status):
    assert requests.get(server.url, headers={'Host': host}, timeout=60).status_code == status


def test_metrics_count_requests_images_and_versions(server, pets):
    def read():
        text = requests.get(f'{server.base}monitoring/prometheus/metrics', timeout=60).text
        lines = (line.rsplit(' ', 1) for line in text.splitlines() if line[0] != '#')
        return {name: float(value) for name, value in lines}

    before = read()
    server.predict(pets['dogs'], pets['cats'])
    server.predict(b'text')
    after = read()

    added = {
        'serve_requests_total{code="200"}': 1,
        'serve_requests_total{code="400"}': 1,
        'serve_refused_images_total{reason="not an image"}': 1,
        'serve_request_seconds_count': 2,
    }
    assert {name: after[name] - before.get(name, 0) for name in added} == added
    assert after['serve_model_version'] >= 1


def test_internal_errors_do_not_show_details(server, pets, monkeypatch):
    def fail(*_):
        raise FileNotFoundError('/no/such/file')

    monkeypatch.setattr(server.live.current, 'predict', fail)

    response = server.predict(pets['dogs'])

    assert response.status_code == 500
    assert response.json() == {'error': 'internal error; see the log of the server'}


def test_client_that_disconnects_is_no_error_of_the_server(server, pets, caplog):
    host, port = server.base.removeprefix('http://').rstrip('/').split(':')
    with socket.create_connection((host, int(port))) as client:
        lines = (f'POST /v1/models/{NAME}:predict HTTP/1.1', 'Host: localhost', 'Content-Length: 9')
        client.sendall('\r\n'.join([*lines, '', '']).encode())

    assert server.predict(pets['dogs']).status_code == 200
    assert 'ClientDisconnect' not in caplog.text


def test_page_loads_nothing_from_elsewhere(server):
    page = requests.get(server.base, timeout=60)

    assert "default-src 'none'" in page.headers['Content-Security-Policy']
    assert 'data-model="v1/models/pets"' in page.text
    for file in ('page/page.css', 'page/page.js'):
        assert file in page.text
        loaded = requests.get(server.base + file, timeout=60)
        assert loaded.status_code == 200
        assert 'http' not in loaded.text + page.text
