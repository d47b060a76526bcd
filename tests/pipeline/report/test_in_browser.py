"""Reports in headless Chromium: layout, contrast, contents, folded parts, messages."""

import pytest
from chromium import CHROMIUM, CONTRAST, NAMES, open_page
from example_run import REASON, REJECTED, example, images_for

from pipeline.report.page.render import render_page

FIRST_SCREEN = 600  # pixels
WIDTHS, SCHEMES = (375, 1200), ('light', 'dark')
BACKGROUNDS = {'light': 'rgb(244, 245, 247)', 'dark': 'rgb(16, 20, 26)'}
IMAGES = 8 + 1 + 2 * 6 + 2 + 2
HOSTILE = ('<img src=x onerror=alert(1)>', 'a|b `c` [x](http://evil.example)', 'www.evil.example')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs(CHROMIUM, f'none of {", ".join(NAMES)} is installed'),
]

EXAMINE = f"""(() => {{
  {CONTRAST}
  const box = element => element.getBoundingClientRect();
  const all = selector => [...document.querySelectorAll(selector)];
  const first = all('.verdict p, .verdict li > span')
    .filter(each => box(each).bottom <= {FIRST_SCREEN}).map(each => each.innerText.trim());
  const folded = all('.part > details:not([open]) h2').map(each => each.textContent);
  all('details').forEach(each => each.open = true);
  const texts = all('body *').filter(element => !element.closest('svg, pre, script')
    && [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
  return {{
    width: document.documentElement.scrollWidth,
    background: getComputedStyle(document.body).backgroundColor,
    contrast: texts.map(contrast).sort((a, b) => a[0] - b[0])[0],
    images: document.images.length,
    plots: all('figure > svg').length,
    missing: all('img').filter(each => !each.naturalWidth).map(each => each.alt).concat(
      all('figure > svg').filter(each => box(each).height < 100).map(each => each.textContent)),
    clipped: all('.wide').filter(each => each.scrollWidth > each.clientWidth + 1
      && getComputedStyle(each).backgroundImage.split('linear-gradient').length !== 5).length,
    first, folded,
  }};
}})()"""
LOADED = """new Promise(done => {
  const check = () => document.readyState === 'complete' ? done() : setTimeout(check, 10);
  check();
})"""


def reports():
    runs = {
        'live': example(),
        'rejected': example('2026-11-22T18:04', REJECTED, better=-0.012),
        'hostile': example(classes=HOSTILE),
        '20 classes': example(classes=tuple(f'kind {number}' for number in range(20))),
        '100 classes': example(classes=tuple(f'kind {number}' for number in range(100))),
    }
    for name, run in runs.items():
        yield name, render_page(run, images_for(run))


PAGES = ('live', 'rejected', 'hostile', '20 classes', '100 classes')


class Browser:
    """A tab that opens reports."""

    def __init__(self, page, folder):
        self.page, self.folder = page, folder

    def open(self, name, width=1200, scheme='light', fragment=''):
        self.page.resize(width, dark=scheme == 'dark')
        self.page.call('Page.navigate', url='about:blank')  # forgets what is open
        url = (self.folder / f'{name}.html').as_uri() + fragment
        self.page.call('Page.navigate', url=url)
        self.page.evaluate(LOADED)
        return self.page


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp('browser')
    for name, page in reports():
        (folder / f'{name}.html').write_text(page, encoding='utf-8')
    with open_page('about:blank', folder / 'profile') as page:
        yield Browser(page, folder)


@pytest.fixture(scope='module')
def examined(browser):
    """Results by page, width and scheme."""
    return {
        (name, width, scheme): browser.open(name, width, scheme).evaluate(EXAMINE)
        for name in PAGES
        for width in WIDTHS
        for scheme in SCHEMES
    }


@pytest.mark.parametrize('scheme', SCHEMES)
@pytest.mark.parametrize('width', WIDTHS)
@pytest.mark.parametrize('name', PAGES)
def test_page_fits_is_legible_and_draws_all_images(examined, name, width, scheme):
    page = examined[name, width, scheme]

    assert page['width'] <= width
    assert page['background'] == BACKGROUNDS[scheme]
    assert page['contrast'][0] >= 4.5, page['contrast']
    assert page['plots'] >= 4
    assert page['images'] == IMAGES
    assert page['missing'] == []
    assert page['clipped'] == 0  # each table that scrolls has a shadow at its edges


@pytest.mark.parametrize('width', WIDTHS)
@pytest.mark.parametrize(
    ('name', 'word', 'why'),
    [('live', 'Live', 'accuracy 0.970, minimum 0.95 (n=402)'), ('rejected', 'Not live', REASON)],
)
def test_gate_decision_is_on_first_screen_and_long_parts_are_folded(
    examined, width, name, word, why
):
    seen, folded = (examined[name, width, 'light'][key] for key in ('first', 'folded'))

    assert seen[0] == word
    assert why in seen
    assert {'Training', 'Run time', 'Model card', 'Configuration'} <= set(folded)
    assert not {'Metrics', 'Classes', 'Confusion matrix'} & set(folded)


def test_address_of_a_folded_part_opens_it_and_contents_stay_in_view(browser):
    page = browser.open('live', fragment='#card')

    assert page.evaluate("document.querySelector('#card').closest('details').open")
    assert 0 <= page.evaluate("document.querySelector('nav').getBoundingClientRect().top") < 100


def test_pages_request_nothing_and_log_no_messages(browser, examined):
    events = browser.page.events
    requested = [
        event['params']['request']['url']
        for event in events
        if event['method'] == 'Network.requestWillBeSent'
    ]

    assert requested
    own = (browser.folder.as_uri(), 'data:', 'about:blank')
    assert [url for url in requested if not url.startswith(own)] == []
    kinds = ('Log.entryAdded', 'Runtime.consoleAPICalled', 'Runtime.exceptionThrown')
    assert [event for event in events if event['method'] in kinds] == []
