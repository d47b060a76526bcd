"""Pushes and rollbacks while clients send requests."""

import concurrent.futures
import contextlib
import shutil
import threading

import pytest
import requests
from running_server import wait_for

from components.pusher.serving_folder import About, versions_in
from components.pusher.versions import push


@pytest.mark.parametrize('reloads', [3, pytest.param(50, marks=pytest.mark.slow)])
def test_reloads_lose_no_request(make_server, models, pets, reloads):
    server, ended = make_server(), threading.Event()
    sent, logits = [0, 0, 0], set()

    def send(client):
        while not ended.wait(0.05):
            if client == 0:
                assert server.predict(pets['cats'][:500]).status_code == 400
            else:
                found = server.predict(*pets.values()).json()['predictions']
                assert [each['class'] for each in found] == [*pets]
                logits.add(round(found[0]['logit'][0], 3))
            sent[client] += 1

    with concurrent.futures.ThreadPoolExecutor(3) as pool, contextlib.ExitStack() as stack:
        stack.callback(ended.set)
        clients = [pool.submit(send, client) for client in range(3)]
        for number in range(reloads):
            before = [*sent]
            # Every second push is what a rollback does: an earlier model with a new version.
            pushed = push(models[(number + 1) % 2], server.serving, keep=1, about=About()).folder
            wait_for(lambda pushed=pushed: server.live.current.version == pushed.name)
            wait_for(
                lambda before=before: (
                    any(each.done() for each in clients)
                    or all(now > then for now, then in zip(sent, before, strict=True))
                )
            )

    assert [each.result() for each in clients] == [None] * 3
    assert len(logits) == 2  # both models answered
    assert [folder.name for folder in versions_in(server.serving)] == [server.live.current.version]


def test_damaged_or_removed_versions_do_not_replace_the_live_one(make_server, models, pets):
    server = make_server()
    shutil.copytree(models[1], server.serving / '.2')
    (server.serving / '.2' / 'saved_model.pb').write_bytes(b'damaged')
    (server.serving / '.2').rename(server.serving / '2')

    def failed_loads():
        text = requests.get(f'{server.base}monitoring/prometheus/metrics', timeout=60).text
        return 'serve_model_loads_total{result="failed"}' in text

    wait_for(failed_loads)
    assert server.live.current.version == '1'
    assert requests.get(f'{server.url}/versions/2', timeout=60).status_code == 404
    assert server.predict(pets['dogs']).status_code == 200

    # As if version 2 was still copied when the server looked for it.
    shutil.copy(models[1] / 'saved_model.pb', server.serving / '2')
    wait_for(lambda: server.live.current.version == '2')

    shutil.rmtree(server.serving)  # the loaded model stays
    assert server.predict(pets['dogs']).status_code == 200
