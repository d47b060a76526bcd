"""Reports in headless Chromium: layout, contrast, images, console messages.

A page of frames, one per report and width, examines the reports and is printed as text.
"""

import html
import json
import re
import subprocess

import pytest
from chromium import CHROMIUM, CONTRAST, NAMES
from example_run import REASON, REJECTED, example, images_for

from pipeline.report.page.render import render_comparison, render_page

FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--enable-logging=stderr')
FIRST_SCREEN = 600  # pixels
PAGES, WIDTHS = ('live', 'rejected', 'comparison'), (375, 1200)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f'none of {", ".join(NAMES)} is installed')

# The policy logs a console message for each request.
FRAMES = """<!doctype html>
<meta http-equiv="Content-Security-Policy"
  content="default-src 'unsafe-inline'; img-src data:">
<body><script>
CONTRAST
const examine = page => {
  const box = element => element.getBoundingClientRect();
  const all = selector => [...page.querySelectorAll(selector)];
  const texts = all('body *').filter(element => !element.closest('svg, pre')
    && [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
  all('details').forEach(each => each.open = true);
  return {
    width: page.documentElement.scrollWidth,
    background: getComputedStyle(page.body).backgroundColor,
    contrast: texts.map(contrast).sort((a, b) => a[0] - b[0])[0],
    images: page.images.length,
    plots: all('figure > svg').length,
    missing: all('img').filter(each => !each.naturalWidth).map(each => each.alt).concat(
      all('figure > svg').filter(each => box(each).height < 100).map(each => each.textContent)),
    first: all('.verdict p, .verdict li > span').filter(each => box(each).bottom <= FIRST_SCREEN)
      .map(each => each.innerText.trim()),
  };
};
const load = (page, width) => new Promise(loaded => {
  const frame = document.createElement('iframe');
  frame.style = `width:${width}px; height:FIRST_SCREENpx; border:0`;
  frame.onload = () => loaded(frame);
  frame.srcdoc = page;
  document.body.append(frame);
});
(async () => {
  const results = {};
  for (const [name, page] of Object.entries(PAGES))
    for (const width of WIDTHS)
      results[`${name} ${width}`] = examine((await load(page, width)).contentDocument);
  document.body.innerHTML = '<pre></pre>';
  document.querySelector('pre').textContent = JSON.stringify(results);
})();
</script>""".replace('CONTRAST', CONTRAST)


@pytest.fixture(scope='module', params=['light', 'dark'])
def examined(request, tmp_path_factory):
    """Results by page and width; under `messages` those of the console."""
    live, rejected = example(), example('2026-11-22T18:04', REJECTED, better=-0.012)
    pages = {
        'live': render_page(live, images_for(live)),
        'rejected': render_page(rejected, images_for(rejected)),
        'comparison': render_comparison(live, rejected),
    }
    values = {'PAGES': pages, 'WIDTHS': WIDTHS, 'FIRST_SCREEN': FIRST_SCREEN}
    text = re.sub(
        '|'.join(values), lambda match: json.dumps(values[match[0]]).replace('</', '<\\/'), FRAMES
    )
    folder = tmp_path_factory.mktemp('browser')
    (folder / 'frames.html').write_text(text, encoding='utf-8')
    options = ['--virtual-time-budget=60000', '--dump-dom', f'--user-data-dir={folder / "profile"}']
    if request.param == 'dark':
        options.append('--blink-settings=preferredColorScheme=0')
    command = [str(CHROMIUM), *FLAGS, *options, (folder / 'frames.html').as_uri()]
    done = subprocess.run(command, capture_output=True, text=True)
    printed = re.search('<pre>(.*)</pre>', done.stdout)
    assert printed, done.stderr
    messages = [line for line in done.stderr.splitlines() if ':CONSOLE:' in line]
    background = {'light': 'rgb(244, 245, 247)', 'dark': 'rgb(16, 20, 26)'}[request.param]
    return {
        **json.loads(html.unescape(printed[1])),
        'messages': messages,
        'background': background,
    }


def test_pages_request_nothing_and_log_no_messages(examined):
    assert examined['messages'] == []


@pytest.mark.parametrize('width', WIDTHS)
@pytest.mark.parametrize('name', PAGES)
def test_page_fits_is_legible_and_draws_all_images(examined, name, width):
    page = examined[f'{name} {width}']

    assert page['width'] <= width
    assert page['background'] == examined['background']
    assert page['contrast'][0] >= 4.5, page['contrast']
    assert page['plots'] >= 4
    assert page['images'] == (0 if name == 'comparison' else 8 + 1 + 2 * 6)
    assert page['missing'] == []


@pytest.mark.parametrize('width', WIDTHS)
@pytest.mark.parametrize(
    ('name', 'word', 'why'),
    [('live', 'Live', 'accuracy 0.970, baseline 0.95 (n=402)'), ('rejected', 'Not live', REASON)],
)
def test_gate_decision_and_reasons_are_on_first_screen(examined, width, name, word, why):
    seen = examined[f'{name} {width}']['first']

    assert seen[0] == word
    assert why in seen
    assert any('1795284347' in each for each in seen)
