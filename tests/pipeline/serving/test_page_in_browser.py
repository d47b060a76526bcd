"""The page of the server in headless Chromium."""

import base64
import json

import numpy as np
import pytest
from chromium import CHROMIUM, CONTRAST, NAMES, Page, open_page
from running_server import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs(CHROMIUM, f'none of {", ".join(NAMES)} is installed'),
]

CARDS = """[...document.querySelectorAll('article')].map(card => ({
  file: card.querySelector('.file').textContent,
  name: card.querySelector('h2')?.textContent ?? null,
  error: card.querySelector('.error')?.textContent ?? null,
  classes: [...card.querySelectorAll('dt')].map(each => each.textContent),
  shares: [...card.querySelectorAll('.number')].map(each => parseFloat(each.textContent)),
  picture: card.querySelector('img')?.naturalWidth,
  heat: [...card.querySelectorAll('canvas')].flatMap(canvas => [...canvas.getContext('2d')
    .getImageData(0, canvas.height / 2, canvas.width, 1).data].filter((_, i) => i % 4 === 3)),
}))"""
# Drops a file from its name and base64.
DROP = """(([name, encoded]) => {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(encoded), each => each.charCodeAt());
  transfer.items.add(new File([bytes], name));
  window.dispatchEvent(new DragEvent('drop', {dataTransfer: transfer, cancelable: true}));
})"""
LOWEST_CONTRAST = f"""(() => {{
  {CONTRAST}
  return [...document.querySelectorAll('body *')]
    .filter(each => [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .filter(each => each.tagName !== 'NOSCRIPT').map(contrast).sort((a, b) => a[0] - b[0])[0];
}})()"""


@pytest.fixture(scope='module')
def page(server, tmp_path_factory):
    with open_page(server.base, tmp_path_factory.mktemp('browser')) as opened:
        yield opened


@pytest.fixture(scope='module')
def cards(page: Page, pets, tmp_path_factory):
    """The results of two photographs and a truncated one, chosen, and of a dropped one, by name."""
    folder = tmp_path_factory.mktemp('photographs')
    for name, contents in {**pets, '<b>half': pets['dogs'][:500]}.items():
        (folder / f'{name}.jpg').write_bytes(contents)
    page.choose_files('#files', sorted(folder.iterdir()))
    dropped = ['dropped.jpg', base64.b64encode(pets['dogs']).decode()]
    page.evaluate(f'{DROP}({json.dumps(dropped)})')
    wait_for(lambda: page.evaluate("document.querySelectorAll('[data-done]').length") == 4)
    return {card.pop('file'): card for card in page.evaluate(CARDS)}


def test_shows_class_probabilities_and_heat_map(cards):
    assert sorted(cards) == ['<b>half.jpg', 'cats.jpg', 'dogs.jpg', 'dropped.jpg']
    for file, name in (('cats.jpg', 'cats'), ('dogs.jpg', 'dogs'), ('dropped.jpg', 'dogs')):
        card = cards[file]
        assert (card['name'], card['error']) == (name, None)
        assert card['classes'] == [name, 'dogs' if name == 'cats' else 'cats']
        assert card['shares'][0] > 90
        assert sum(card['shares']) == pytest.approx(100, abs=0.11)
        assert card['picture'] == 64
    # The heat map of this model is the brightness, which sets the opacity.
    assert 0 < np.median(cards['cats.jpg']['heat']) < np.median(cards['dogs.jpg']['heat']) < 153


def test_bad_image_has_an_error_and_others_do_not(cards):
    assert cards['<b>half.jpg']['name'] is None
    assert cards['<b>half.jpg']['error'].startswith('truncated: it ends after 500 bytes')


def test_shows_the_version_and_its_classes(page, cards):
    text = page.evaluate("document.getElementById('model').textContent")

    assert text == 'version 1, 2 classes: cats, dogs'


def test_checkbox_hides_heat_maps(page, cards):
    visible = "getComputedStyle(document.querySelector('canvas')).display !== 'none'"
    toggle = "document.getElementById('heat').click()"

    assert page.evaluate(visible)
    page.evaluate(toggle)
    assert not page.evaluate(visible)
    page.evaluate(toggle)


@pytest.mark.parametrize(('dark', 'colour'), [(False, '244, 245, 247'), (True, '16, 20, 26')])
@pytest.mark.parametrize('width', [375, 1200])
def test_page_fits_and_is_legible(page, cards, width, dark, colour):
    page.resize(width, dark=dark)

    assert page.evaluate('document.documentElement.scrollWidth') <= width
    assert page.evaluate('getComputedStyle(document.body).backgroundColor') == f'rgb({colour})'
    ratio, text = page.evaluate(LOWEST_CONTRAST)
    assert ratio >= 4.5, text


def test_page_requests_only_its_server_and_logs_only_the_refused_image(page, cards, server):
    requested = [
        event['params']['request']['url']
        for event in page.events
        if event['method'] == 'Network.requestWillBeSent'
    ]
    logged = [
        event['params']['entry']['text']
        for event in page.events
        if event['method'] == 'Log.entryAdded'
    ]

    assert requested
    assert all(url.startswith((server.base, 'blob:', 'data:')) for url in requested)
    assert [text for text in logged if '400 (Bad Request)' not in text] == []
    assert not any(event['method'] == 'Runtime.exceptionThrown' for event in page.events)
