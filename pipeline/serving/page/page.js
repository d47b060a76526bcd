'use strict';

const {model, maxBytes} = document.body.dataset;
const SHOWN = 5, LISTED = 10;  // classes of a photograph, and in the header
// Colours of `predict --explain`, and its opacity at the maximum of a heat map.
const COLOURS = [[0, 0, 4], [188, 55, 84], [252, 255, 164]], OPACITY = 0.6;

const element = (name, text = '', className = '') => {
  const created = document.createElement(name);
  created.textContent = text;
  created.className = className;
  return created;
};

const fetchJson = async (path, options) => {
  const response = await fetch(path, options).catch(() => {
    throw new Error('the server cannot be reached');
  });
  const content = await response.json().catch(() => {
    throw new Error(`the response cannot be read (status ${response.status})`);
  });
  if (!response.ok)
    throw Object.assign(new Error(content.error), {status: response.status});
  return content;
};

const readMetadata = async () => {
  const {model_spec, metadata} = await fetchJson(`${model}/metadata`);
  const {classes} = metadata;
  const names = classes.length > LISTED ? '' : `: ${classes.join(', ')}`;
  document.getElementById('model').textContent =
    `version ${model_spec.version}, ${classes.length} classes${names}`;
  return 'explain_images' in metadata.signature_def.signature_def;
};

const predict = async file => {
  if (file.size + 1000 > Number(maxBytes))
    throw new Error(`the file is too large: a request may have ${(maxBytes / 1e6).toFixed(1)} MB`);
  const form = new FormData();
  form.append('signature_name', await readMetadata() ? 'explain_images' : 'serve_images');
  form.append('file', file);
  const content = await fetchJson(`${model}:predict`, {method: 'POST', body: form});
  return content.predictions[0];
};

const drawHeat = (heat, canvas) => {
  const small = new OffscreenCanvas(heat[0].length, heat.length);
  const pixels = new ImageData(small.width, small.height);
  heat.flat().forEach((value, i) => {
    const [low, high] = value < 0.5 ? [0, 1] : [1, 2], share = value * 2 - low;
    const colour = COLOURS[low].map((c, k) => c + share * (COLOURS[high][k] - c));
    pixels.data.set([...colour, value * OPACITY * 255], 4 * i);
  });
  small.getContext('2d').putImageData(pixels, 0, 0);
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
};

const percent = value => `${(100 * value).toFixed(1)} %`;

const show = (card, prediction) => {
  if (!prediction.class) throw new Error('the model predicts NaN');
  const ranked = Object.entries(prediction.probabilities);
  const list = element('dl');
  for (const [each, value] of ranked.slice(0, SHOWN)) {
    const bar = element('dd', '', 'bar'), length = element('div');
    bar.setAttribute('aria-hidden', 'true');  // the number follows
    length.style.width = percent(value).replace(' ', '');
    bar.append(length);
    list.append(element('dt', each), bar, element('dd', percent(value), 'number'));
  }
  card.lastChild.append(element('h2', prediction.class), list);
  if (ranked.length > SHOWN)
    card.lastChild.append(element('p', `other classes: ${ranked.length - SHOWN}`, 'muted'));
  const picture = card.querySelector('img');
  if (prediction.heat_map && picture) {
    const canvas = element('canvas');
    canvas.width = canvas.height = 512;  // stretched to the picture by the style
    drawHeat(prediction.heat_map, canvas);
    picture.after(canvas);
  }
};

const addCard = file => {
  const card = element('article'), frame = element('div'), picture = element('img');
  picture.alt = '';
  picture.src = URL.createObjectURL(file);
  picture.onerror = () => frame.parentNode.remove();  // a format that the browser does not know
  frame.append(picture);
  const text = element('div', '', 'text');
  text.append(element('p', file.name, 'file'));
  card.append(element('div', '', 'picture'), text);
  card.firstChild.append(frame);
  return card;
};

// One after the other: each photograph is a request of its own.
let last = Promise.resolve();
const classify = files => {
  for (const file of files) {
    const card = addCard(file), waiting = element('p', 'waiting', 'muted');
    card.lastChild.append(waiting);
    document.getElementById('results').append(card);
    last = last.then(async () => {
      try {
        show(card, await predict(file));
      } catch (error) {
        card.lastChild.append(element('p', error.message.replace(/^image 0: /, ''), 'error'));
      }
      waiting.remove();
      card.dataset.done = '';
    });
  }
  document.querySelector('.options').hidden = false;
};

const drop = document.getElementById('drop'), files = document.getElementById('files');
files.addEventListener('change', () => {
  classify(files.files);
  files.value = '';
});
for (const name of ['dragover', 'dragleave', 'drop'])
  window.addEventListener(name, event => {
    event.preventDefault();
    drop.classList.toggle('over', name === 'dragover');
    if (name === 'drop') classify(event.dataTransfer.files);
  });
document.getElementById('heat').addEventListener('change', event =>
  document.getElementById('results').classList.toggle('without-heat', !event.target.checked));
readMetadata().catch(error => {
  document.getElementById('model').replaceChildren(element('span', error.message, 'error'));
});
