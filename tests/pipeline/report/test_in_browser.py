"""Reports in headless Chromium: layout, contrast, images, console messages."""

import pytest
from browser import EXECUTABLE, NAMES, browser
from example_run import REASON, REJECTED, example, images_for

from pipeline.report.page.render import render_comparison, render_page

pytestmark = [
    pytest.mark.skipif(EXECUTABLE is None, reason=f'none of {", ".join(NAMES)} is installed'),
    pytest.mark.timeout(180),
]
PAGES = ('live', 'rejected', 'comparison')
PHONE, DESK, FIRST_SCREEN = 375, 1200, 600

# The lowest contrast of a text and its background, with relative luminance as in WCAG 2.1.
CONTRAST = """
(() => {
  const numbers = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const over = (top, under) => {
    const a = top.length > 3 ? top[3] : 1;
    return [0, 1, 2].map(i => top[i] * a + under[i] * (1 - a));
  };
  const background = element => {
    if (!element) return [255, 255, 255];
    const colour = numbers(getComputedStyle(element).backgroundColor);
    return colour[3] === 0 ? background(element.parentElement)
                           : over(colour, background(element.parentElement));
  };
  const luminance = colour => colour.map(c => c / 255)
    .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const texts = [...document.querySelectorAll('body *')].filter(element =>
    [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())
    && !element.closest('svg, pre'));
  return texts.map(element => {
    const behind = background(element);
    const [a, b] = [over(numbers(getComputedStyle(element).color), behind), behind].map(luminance);
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.textContent.trim()];
  }).sort((a, b) => a[0] - b[0])[0];
})()
"""
NOT_DRAWN = """
[...document.querySelectorAll('details')].forEach(each => each.open = true),
[...document.images].filter(each => !(each.complete && each.naturalWidth)).map(each => each.alt)
  .concat([...document.querySelectorAll('figure > svg')]
    .filter(each => each.getBoundingClientRect().width < 100
                 || each.getBoundingClientRect().height < 100)
    .map(each => each.textContent))
"""


@pytest.fixture(scope='module')
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pages')
    live, rejected = example(), example('2026-11-22T18:04', REJECTED, better=-0.012)
    written = {
        'live': render_page(live, images_for(live)),
        'rejected': render_page(rejected, images_for(rejected)),
        'comparison': render_comparison(live, rejected),
    }
    for name, page in written.items():
        (folder / f'{name}.html').write_text(page, encoding='utf-8')
    return {name: (folder / f'{name}.html').as_uri() for name in written}


@pytest.fixture(scope='module')
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp('profile')) as opened:
        yield opened


@pytest.mark.parametrize('name', PAGES)
def test_page_logs_no_messages_and_requests_no_urls(tab, pages, name):
    tab.open(pages[name])

    assert tab.console_messages() == []
    assert tab.requested_urls() == [pages[name]]


@pytest.mark.parametrize('name', PAGES)
def test_all_images_are_drawn(tab, pages, name):
    tab.open(pages[name])

    assert tab.evaluate('document.querySelectorAll("figure > svg").length') >= 4
    assert tab.evaluate(NOT_DRAWN) == []


def test_page_has_all_images(tab, pages):
    tab.open(pages['live'])

    assert tab.evaluate('document.images.length') == 8 + 1 + 2 * 6  # samples, views, mistakes


@pytest.mark.parametrize('name', PAGES)
@pytest.mark.parametrize('width', [PHONE, DESK])
def test_page_does_not_scroll_horizontally(tab, pages, name, width):
    tab.open(pages[name], width=width)

    assert tab.evaluate('document.documentElement.scrollWidth') <= width


@pytest.mark.parametrize('width', [PHONE, DESK])
@pytest.mark.parametrize(
    ('name', 'word', 'why'),
    [('live', 'Live', 'accuracy 0.970, baseline 0.95 (n=402)'), ('rejected', 'Not live', REASON)],
)
def test_gate_decision_and_reasons_are_on_first_screen(tab, pages, width, name, word, why):
    tab.open(pages[name], width=width, height=FIRST_SCREEN)
    seen = tab.evaluate(f"""
      [...document.querySelectorAll('.verdict p, .verdict li > span')]
        .filter(each => each.getBoundingClientRect().bottom <= {FIRST_SCREEN})
        .map(each => each.innerText.trim())
    """)

    assert seen[0] == word
    assert why in seen
    assert any('1795284347' in each for each in seen)


@pytest.mark.parametrize('name', PAGES)
@pytest.mark.parametrize('dark', [False, True], ids=['light', 'dark'])
def test_text_has_sufficient_contrast(tab, pages, name, dark):
    tab.open(pages[name], dark=dark)
    contrast, text = tab.evaluate(CONTRAST)

    assert contrast >= 4.5, text


def test_dark_mode_has_dark_background(tab, pages):
    colours = []
    for dark in (False, True):
        tab.open(pages['live'], dark=dark)
        colours.append(tab.evaluate('getComputedStyle(document.body).backgroundColor'))

    assert colours == ['rgb(244, 245, 247)', 'rgb(16, 20, 26)']
