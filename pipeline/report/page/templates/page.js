'use strict';

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
