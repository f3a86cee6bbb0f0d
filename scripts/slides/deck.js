// Typeset, fit every slide, then start. `deckIsReady` is for whoever waits.
const deck = new Reveal();
// Size of the words in pixels, and how far a figure may shrink: the first that fits.
const FITS = [[30, 1.2], [28, 1.1], [26, 1], [24, 1], [24, 0.85], [22, 0.85], [22, 0.6]];

const overflow = slide => Math.max(
  slide.scrollHeight - slide.clientHeight, slide.scrollWidth - slide.clientWidth);

const fit = slide => {
  const look = slide.style;
  for (const [size, least] of FITS) {
    look.fontSize = size + 'px';
    look.setProperty('--least', least);
    if (overflow(slide) <= 0) break;
  }
};

const fitAll = () => {
  const style = document.head.appendChild(document.createElement('style'));
  style.textContent = '.reveal .slides section { display: flex !important; }';
  document.querySelectorAll('.slide').forEach(fit);
  style.remove();
};

const start = async () => {
  const images = [...document.images];
  await Promise.all(images.map(image => image.decode()));
  images.forEach(image => image.style.setProperty('--height', image.naturalHeight + 'px'));
  await deck.initialize({
    width: 1280, height: 720, margin: 0, center: false, hash: true,
    display: 'flex', controls: false, transition: 'none', slideNumber: 'c/t',
    pdfSeparateFragments: false,
  });
  fitAll();
  window.deckIsReady = true;
};

window.MathJax = {
  tex: {inlineMath: [['$', '$']], displayMath: [['$$', '$$']]},
  options: {enableMenu: false},
  startup: {pageReady: () => MathJax.startup.defaultPageReady().then(start)},
};
