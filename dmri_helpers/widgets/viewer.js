
  const sprite = new Image();
  const colors = Uint8Array.from(atob(D.colors), c => c.charCodeAt(0));
  const colored = context => {
    const image = context.getImageData(0, 0, context.canvas.width, context.canvas.height), p = image.data;
    for (let i = 0; i < p.length; i += 4) for (let c = 0, v = p[i]; c < 3; c++) p[i + c] = colors[3 * v + c];
    context.putImageData(image, 0, 0);
  };
  sprite.onload = () => {
    const control = (parent, text, range, value, words) => {
      const label = add(parent, "label"), shown = add(label, "span");
      const input = add(label, "input", {}, {type: "range", min: range[0], max: range[1], step: range[2],
        "aria-label": text, "data-lm-suppress-shortcuts": "true"});
      input.value = value;
      const show = () => {
        shown.textContent = text + " " + words(+input.value);
        input.setAttribute("aria-valuetext", text + " " + words(+input.value).replace("/", "of"));
      };
      input.addEventListener("input", () => draw());
      return {label: label, input: input, show: show, get at() { return +input.value; }};
    };
    const frame = control(view, "frame", [0, D.frames - 1, 1], D.frame, at => at + " / " + (D.frames - 1));
    const column = D.column === null ? null : control(view, "column x", [0, D.width - 1, 1], D.column,
      at => at * D.step + " / " + (D.width - 1) * D.step);
    const button = (parent, text) => add(parent, "button", {type: "button", textContent: text},
      {"data-lm-suppress-shortcuts": "true"});
    const play = button(frame.label, "Play");
    play.setAttribute("aria-pressed", "false");
    const tones = add(view, "div", {className: "dmri-window"}), span = D.white - D.black;
    const magnitude = at => (+at).toPrecision(2);
    const level = control(tones, "level", [D.black, D.white, span / 100], D.black + span / 2, magnitude);
    const width = control(tones, "window", [span / 50, span, span / 50], span, magnitude);
    const reset = button(tones, "Reset");
    reset.onclick = () => { level.input.value = D.black + span / 2; width.input.value = span; draw(); };
    const gray = new Uint8ClampedArray(256);
    const toned = context => {
      if (width.at >= span && Math.abs(level.at - D.black - span / 2) < span / 1000) return;
      const image = context.getImageData(0, 0, context.canvas.width, context.canvas.height), p = image.data;
      for (let i = 0; i < p.length; i += 4) p[i] = p[i + 1] = p[i + 2] = gray[p[i]];
      context.putImageData(image, 0, 0);
    };
    view.style.setProperty("--n", D.titles.length);
    view.style.setProperty("--half", Math.ceil(D.titles.length / 2));
    view.style.setProperty("--few", Math.min(2, D.titles.length));
    view.style.setProperty("--w", D.display + "px");
    const panels = add(view, "div", {className: "dmri-panels"}), draws = [];
    D.titles.forEach((title, n) => {
      const figure = add(panels, "figure");
      add(figure, "figcaption", {textContent: title});
      const paint = (row, profile, text) => {
        const canvas = add(figure, "canvas", {width: profile ? 6 * D.frames : D.width, height: D.height},
          {role: "img", "aria-label": title + ", " + text});
        if (profile) canvas.style.aspectRatio = D.width + " / " + D.height;
        const context = canvas.getContext("2d", {willReadFrequently: true});
        context.imageSmoothingEnabled = false;
        draws.push((t, x) => {
          const top = row * D.cell[0];
          if (profile) for (let f = 0; f < D.frames; f++)
            context.drawImage(sprite, f * D.cell[1] + x, top, 1, D.height, 6 * f, 0, 6, D.height);
          else context.drawImage(sprite, t * D.cell[1], top, D.width, D.height, 0, 0, D.width, D.height);
          if (row >= D.titles.length) colored(context); else toned(context);
          if (x === null) return;
          context.fillStyle = "#E69F00";
          if (profile) context.fillRect(6 * t, 0, 1, D.height);
          else context.fillRect(x, 0, 1, D.height);
        });
        canvas.onclick = event => {
          const at = Math.floor(event.offsetX / canvas.clientWidth * (profile ? D.frames : D.width));
          if (profile) frame.input.value = at; else if (column) column.input.value = at; else return;
          draw();
        };
      };
      paint(n, false, "y against x");
      if (column) paint(n, true, "y against frame at the chosen column");
      if (D.errors[n] !== null) {
        add(figure, "div", {textContent: D.errorText});
        paint(D.errors[n], false, D.errorText);
      } else if (D.errorText) {
        add(figure, "div", {textContent: D.errorText + ": 0 to " + D.errorMax});
        const scale = add(figure, "canvas", {width: 256, height: 1, className: "dmri-scale"},
          {role: "img", "aria-label": "colour scale from 0 to " + D.errorMax}).getContext("2d");
        const image = scale.createImageData(256, 1);
        for (let v = 0; v < 256; v++) image.data.set([...colors.slice(3 * v, 3 * v + 3), 255], 4 * v);
        scale.putImageData(image, 0, 0);
      }
    });
    const draw = () => {
      for (const each of [frame, column, level, width]) if (each) each.show();
      for (let v = 0; v < 256; v++)
        gray[v] = 255 * ((D.black + v / 255 * span - level.at) / width.at + 0.5);
      draws.forEach(paint => paint(frame.at, column ? column.at : null));
    };
    let playing = false, then = 0;
    const step = now => {
      if (!playing || !root.isConnected) return;
      if (now - then >= D.pause) { then = now; frame.input.value = (frame.at + 1) % D.frames; draw(); }
      requestAnimationFrame(step);
    };
    play.onclick = () => {
      playing = !playing;
      play.textContent = playing ? "Pause" : "Play";
      play.setAttribute("aria-pressed", playing);
      if (playing) requestAnimationFrame(step);
    };
    draw();
    finish();
  };
  sprite.src = D.sprite;
