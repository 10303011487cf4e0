
  const places = D.controls.map(one => one.start);
  const shows = D.controls.map((one, n) => {
    const label = add(view, "label"), shown = add(label, "span");
    const common = {"aria-label": one.name, "data-lm-suppress-shortcuts": "true"};
    const input = add(label, one.slides ? "input" : "select", {}, common);
    if (one.slides) Object.assign(input, {type: "range", min: 0, max: one.words.length - 1, step: 1});
    if (!one.slides) for (const [at, word] of one.words.entries()) add(input, "option", {value: at, textContent: word});
    input.value = one.start;
    input.addEventListener("input", () => { places[n] = +input.value; draw(); });
    return () => {
      shown.textContent = one.name + (one.slides ? " " + one.words[places[n]] : "");
      input.setAttribute("aria-valuetext", one.name + " " + one.words[places[n]]);
    };
  });
  const told = add(view, "div", {className: "dmri-told"}, {"aria-live": "polite"});
  const panels = add(view, "div", {className: "dmri-panels"});
  const draw = () => {
    shows.forEach(show => show());
    const state = D.states[places.reduce((at, place, n) => at * D.controls[n].words.length + place, 0)];
    told.textContent = state.told;
    while (panels.children.length > state.panels.length) panels.lastChild.remove();
    state.panels.forEach(([title, below, image, aspect], n) => {
      let figure = panels.children[n];
      if (!figure) {
        figure = add(panels, "figure");
        add(figure, "figcaption");
        add(figure, "img");
        add(figure, "div");
      }
      figure.children[0].textContent = title;
      figure.children[1].src = D.images[image];
      figure.children[1].style.aspectRatio = aspect;
      figure.children[1].alt = title + "; " + state.told;
      figure.children[2].textContent = below;
    });
  };
  draw();
  finish();
