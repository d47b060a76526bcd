'use strict';

// Copies a text; where the browser has no clipboard for this page, with its old command.
const copy = async text => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    return copied;
  }
};

for (const button of document.querySelectorAll('button[data-copy]')) {
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener('click', async () => {
    button.textContent = await copy(button.dataset.copy) ? 'Copied' : 'The browser refused';
    setTimeout(() => button.textContent = label, 2000);
  });
}

// Opens the part that a link leads to, which some browsers leave folded.
const open = () => {
  const target = document.getElementById(location.hash.slice(1));
  for (let part = target?.closest('details'); part; part = part.parentElement.closest('details'))
    part.open = true;
  target?.scrollIntoView();
};
addEventListener('hashchange', open);
open();
addEventListener('beforeprint', () =>
  document.querySelectorAll('details').forEach(each => each.open = true));
