"""Pushes and rollbacks while clients send requests."""

import shutil
import threading

import pytest
import requests
from running_server import wait_for

from components.pusher.serving_folder import About, versions_in
from components.pusher.versions import push
from pipeline.serving import live_model


class Client(threading.Thread):
    """Sends requests until it is stopped; `failures` are responses other than expected."""

    def __init__(self, server, pets, bad):
        super().__init__(daemon=True)
        self._server, self._pets, self._bad = server, pets, bad
        self.stopped, self.sent, self.failures, self.seen = threading.Event(), 0, [], set()

    def run(self):
        names, images = zip(*self._pets.items(), strict=True)
        while not self.stopped.wait(0.05):
            try:
                self._send(names, images)
            except Exception as error:
                self.failures.append(repr(error))
            self.sent += 1

    def _send(self, names, images):
        if self._bad:
            response = self._server.predict(images[0][:500])
            if response.status_code != 400:
                self.failures.append(response.text)
            return
        response = self._server.predict(*images)
        found = response.json().get('predictions', [])
        if [each['class'] for each in found] != [*names]:
            self.failures.append(response.text)
        else:
            self.seen.add(round(found[0]['logit'][0], 3))


@pytest.mark.parametrize('reloads', [3, pytest.param(50, marks=pytest.mark.slow)])
def test_reloads_lose_no_request(make_server, models, pets, reloads):
    server = make_server()
    clients = [Client(server, pets, bad=number == 0) for number in range(3)]
    for client in clients:
        client.start()
    for number in range(reloads):
        sent = [client.sent for client in clients]
        # Every second push is what a rollback does: an earlier model with a new version.
        pushed = push(models[(number + 1) % 2], server.serving, keep=1, about=About()).folder
        wait_for(lambda pushed=pushed: server.live.current.version == pushed.name)
        wait_for(lambda sent=sent: all(c.sent > s for c, s in zip(clients, sent, strict=True)))
    for client in clients:
        client.stopped.set()
    for client in clients:
        client.join(60)

    assert [client.failures for client in clients] == [[]] * 3
    assert all(len(client.seen) == 2 for client in clients[1:])  # both models answered
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

    shutil.copytree(models[1], server.serving / '3')
    wait_for(lambda: server.live.current.version == '3')

    shutil.rmtree(server.serving)  # the loaded model stays
    assert server.predict(pets['dogs']).status_code == 200


def test_version_that_failed_is_loaded_again_later(make_server, models, monkeypatch):
    """For example, one that is copied while the server looks for it."""
    monkeypatch.setattr(live_model, '_RETRY_SECONDS', 0.1)
    server = make_server()
    shutil.copytree(models[1], tmp := server.serving / '2', ignore=lambda *_: ['saved_model.pb'])
    wait_for(lambda: server.live._failed == '2')

    shutil.copy(models[1] / 'saved_model.pb', tmp)

    wait_for(lambda: server.live.current.version == '2')
