// Formulas, once MathJax is there; then the keys: arrows, page keys, space, Home and End move by a slide.
function typeset() {
  const all = document.querySelectorAll(".math");
  for (const one of all) {
    const display = one.classList.contains("block");
    const formula = MathJax.tex2svg(one.textContent, { display });
    one.replaceChildren(formula);
  }
  document.head.append(MathJax.svgStylesheet());
  document.documentElement.dataset.ready = "true";
}
addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, button, textarea") || event.ctrlKey || event.metaKey) return;
  const step = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 }[event.key];
  const slides = [...document.querySelectorAll(".slide")];
  const middle = innerHeight / 2;
  const now = slides.findIndex((slide) => slide.getBoundingClientRect().bottom > middle);
  let next = step ? now + step : { Home: 0, End: slides.length - 1 }[event.key];
  if (next === undefined) return;
  next = Math.min(Math.max(next, 0), slides.length - 1);
  event.preventDefault();
  slides[next].scrollIntoView();
  history.replaceState(null, "", `#${next + 1}`);
});
