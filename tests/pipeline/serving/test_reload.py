"""Pushes and rollbacks while clients send requests."""

import shutil
import threading

import pytest
import requests
from running_server import wait_for

from components.pusher.serving_folder import About, versions_in
from components.pusher.versions import push


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
        if [each['class'] for each in found] != [[name] for name in names]:
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

    def states():
        listed = requests.get(server.url, timeout=60).json()['model_version_status']
        return {each['version']: each['state'] for each in listed}

    wait_for(lambda: states() == {'1': 'AVAILABLE', '2': 'END'})
    text = requests.get(server.url, timeout=60).text
    assert 'the version cannot be loaded; see the log' in text
    assert str(server.serving) not in text
    assert server.predict(pets['dogs']).status_code == 200

    shutil.copytree(models[1], server.serving / '3')
    wait_for(lambda: states() == {'3': 'AVAILABLE'})

    shutil.rmtree(server.serving)  # the loaded model stays
    assert server.predict(pets['dogs']).status_code == 200
