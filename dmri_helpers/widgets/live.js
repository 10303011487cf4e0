/* The explorers and the viewer: one module, with a kernel (anywidget) and without one (shim.js). Above it in the module
   stand physics.js, worker.js and files.js, and ERROR_COLORS, the colour map of errors. */
const NAMES = {zero_filled: "zero-filled", temporal_mean: "temporal mean", view_sharing: "view sharing",
  conjugate_view_sharing: "conjugate view sharing", kt_tv: "k-t TV", low_rank_sparse: "low rank + sparse", cascades_5: "5 cascades", unrolled: "unrolled"};
const GRAY = Uint32Array.from({length: 256}, (_, v) => 0xff000000 | v * 0x010101);
const FIRE = Uint32Array.from({length: 256}, (_, v) => 0xff000000 | [0, 1, 2].reduce((sum, c) => sum | ERROR_COLORS[3 * v + c] << 8 * c, 0));
const P = physics();
const unzip = async data => new Uint8Array(await new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
const add = (parent, tag, set = {}, attributes = {}) => {
  const node = Object.assign(document.createElement(tag), set);
  for (const name in attributes) node.setAttribute(name, attributes[name]);
  parent.append(node);
  return node;
};
const OURS = {"data-lm-suppress-shortcuts": "true"};  // JupyterLab would take the arrow keys
const button = (parent, text, act) => add(parent, "button", {type: "button", textContent: text, onclick: act}, OURS);

/* A slider over numbers, or a menu of words. */
function control(parent, text, values, value, change, word = one => one === Infinity ? "∞" : String(one)) {
  const label = add(parent, "label"), shown = add(label, "span"), slides = typeof values[0] !== "string";
  const input = add(label, slides ? "input" : "select", {}, {"aria-label": text, ...OURS});
  if (slides) Object.assign(input, {type: "range", min: 0, max: values.length - 1, step: 1});
  else for (const [at, one] of values.entries()) add(input, "option", {value: at, textContent: word(one)});
  const show = () => {
    const said = word(values[+input.value]);
    shown.textContent = slides ? `${text} ${said}` : text;
    if (slides) input.setAttribute("aria-valuetext", `${text} ${said}`);
  };
  input.addEventListener("input", () => { show(); change(values[+input.value]); });
  const self = {label, input, get value() { return values[+input.value]; },
    set value(v) { input.value = Math.max(0, values.indexOf(v)); show(); }};
  self.value = value;
  return self;
}
const range = (first, last, step = 1) => Array.from({length: Math.floor((last - first) / step + 1e-9) + 1}, (_, i) => +(first + i * step).toFixed(6));

/* The frame slider of a film, and a button that plays it. */
function film(parent, frames, frame, pause, draw) {
  const slider = control(parent, "frame", range(0, frames - 1), frame, draw, at => `${at} / ${frames - 1}`);
  let playing = false, then = 0;
  const step = now => {
    if (!playing || !parent.isConnected) return;
    if (now - then >= pause) { then = now; slider.value = (slider.value + 1) % frames; draw(); }
    requestAnimationFrame(step);
  };
  const press = button(slider.label, "Play", () => {
    playing = !playing;
    press.textContent = playing ? "Pause" : "Play";
    press.setAttribute("aria-pressed", playing);
    if (playing) requestAnimationFrame(step);
  });
  press.setAttribute("aria-pressed", "false");
  return Object.assign(slider, {play: () => playing || press.click()});
}

/* A titled canvas. `value(i)` is the brightness of pixel i from 0 to 1; `cursor` is a column that is marked. */
function picture(parent, title, below = "") {
  const figure = add(parent, "figure"), caption = add(figure, "figcaption", {textContent: title});
  const canvas = add(figure, "canvas", {width: 1, height: 1}, {role: "img", "aria-label": title});
  const note = add(figure, "div", {textContent: below, className: "dmri-note"});
  let image = null;
  const paint = (w, h, value, {colors = GRAY, cursor = null, aspect = null} = {}) => {
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; image = null; }
    const context = canvas.getContext("2d");
    image ??= context.createImageData(w, h);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < w * h; i++) {
      const v = value(i) * 255 + 0.5;
      pixels[i] = colors[v > 0 ? v < 255 ? v | 0 : 255 : 0];
    }
    if (cursor !== null) for (let y = 0; y < h; y++) pixels[y * w + cursor] = 0xff009fe6;
    context.putImageData(image, 0, 0);
    canvas.style.aspectRatio = aspect ?? `${w} / ${h}`;
  };
  const onPoint = act => {
    canvas.classList.add("dmri-aim");
    canvas.addEventListener("click", event => act(Math.floor(event.offsetX / canvas.clientWidth * canvas.width), Math.floor(event.offsetY / canvas.clientHeight * canvas.height)));
  };
  return {figure, caption, canvas, note, paint, onPoint};
}
/* Pixel i of a picture of time: every frame a few pixels wide. */
const WIDE = 6;
const overTime = (volume, [T, Y, X], column) => i => volume[((i % (WIDE * T) / WIDE | 0) * Y + (i / (WIDE * T) | 0)) * X + column];

async function viewer({view, settings: S, ask}) {
  const [T, Y, X] = S.shape, [high, wide] = S.cell, span = S.white - S.black;
  const bitmap = await createImageBitmap(new Blob([await ask(S.sprite)], {type: "image/webp"}));
  const sheet = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", {willReadFrequently: true});
  sheet.drawImage(bitmap, 0, 0);
  const rows = Array.from({length: bitmap.height / high}, (_, row) => {
    const {data} = sheet.getImageData(0, row * high, bitmap.width, high), volume = new Float32Array(T * Y * X);
    for (let t = 0; t < T; t++) for (let y = 0; y < Y; y++) for (let x = 0; x < X; x++)
      volume[(t * Y + y) * X + x] = data[4 * (y * bitmap.width + t * wide + x)] / 255;
    return volume;
  });
  const controls = add(view, "div", {className: "dmri-controls"}), panels = add(view, "div", {className: "dmri-panels"}), draws = [];
  const draw = () => draws.forEach(paint => paint());
  const frame = film(controls, T, S.frame, S.pause, draw);
  const column = S.column === null ? null : control(controls, "column x", range(0, X - 1), S.column, draw, at => `${at * S.step} / ${(X - 1) * S.step}`);
  const two = at => String(+at.toPrecision(2));
  const level = control(controls, "level", Array.from({length: 101}, (_, i) => S.black + i * span / 100), S.black + 50 * span / 100, draw, two);
  const width = control(controls, "window", Array.from({length: 50}, (_, i) => (i + 1) * span / 50), span, draw, two);
  button(width.label, "Reset", () => { level.input.value = 50; width.input.value = 49; for (const one of [level, width]) one.value = one.value; draw(); });
  const toned = v => (S.black + v * span - level.value) / width.value + 0.5;
  S.titles.forEach((title, n) => {
    const stack = add(panels, "div"), image = picture(stack, title), volume = rows[n];
    draws.push(() => image.paint(X, Y, i => toned(volume[frame.value * X * Y + i]), {cursor: column && column.value}));
    if (column) {
      const profile = picture(stack, "", "");
      profile.canvas.setAttribute("aria-label", `${title}, y against frame at the chosen column`);
      draws.push(() => { const shown = overTime(volume, S.shape, column.value); profile.paint(WIDE * T, Y, i => toned(shown(i)), {cursor: frame.value * WIDE, aspect: `${X} / ${Y}`}); });
      image.onPoint(x => { column.value = x; draw(); });
      profile.onPoint(x => { frame.value = x / WIDE | 0; draw(); });
    }
    if (S.errors[n] !== null) {
      const error = picture(stack, "", S.errorText);
      error.canvas.setAttribute("aria-label", `${title}, ${S.errorText}`);
      draws.push(() => error.paint(X, Y, i => rows[S.errors[n]][frame.value * X * Y + i], {colors: FIRE}));
    } else if (S.errorText) {
      const scale = picture(stack, "", `${S.errorText}: 0 to ${S.errorMax}`);
      scale.canvas.setAttribute("aria-label", `colour scale from 0 to ${S.errorMax}`);
      scale.paint(256, 1, i => i / 255, {colors: FIRE, aspect: "16 / 1"});
    }
  });
  draw();
}

/* Two-dimensional centred transform of one image, in double precision. */
function fourier([re, im], [Y, X], inverse) {
  const shift = (a, by, bx) => { const out = new Float64Array(Y * X); for (let y = 0; y < Y; y++) for (let x = 0; x < X; x++) out[y * X + x] = a[(y + by) % Y * X + (x + bx) % X]; return out; };
  const h = [shift(re, Y >> 1, X >> 1), shift(im, Y >> 1, X >> 1)];
  for (let x = 0; x < X; x++) P.plan(Y)(...h, x, inverse, X);
  for (let y = 0; y < Y; y++) P.plan(X)(...h, y * X, inverse);
  return h.map(part => shift(part, Y - (Y >> 1), X - (X >> 1)));
}
const sizes = h => h[0].map((v, i) => Math.hypot(v, h[1][i]));
const decibel = (a, b) => -10 * Math.log10(a.reduce((sum, v, i) => sum + (v - b[i]) ** 2, 0) / a.length);
const logarithmic = (values, peak) => i => 1 + Math.log10(Math.max(values[i] / peak, 1e-9)) / 5;

async function kspace({view, settings: S, ask}) {
  const [Y, X] = S.shape, bytes = await unzip(await ask(S.image)), image = Float64Array.from(bytes, v => v / 255);
  const whole = fourier([image, new Float64Array(Y * X)], S.shape, false), peak = sizes(whole).reduce((a, b) => Math.max(a, b));
  const energy = image.reduce((sum, v) => sum + v * v, 0), near = range(0, Y - 1).sort((a, b) => Math.abs(a - (Y >> 1)) - Math.abs(b - (Y >> 1)));
  const controls = add(view, "div", {className: "dmri-controls"}), told = add(view, "p", {className: "dmri-told"}, {role: "status"});
  const panels = add(view, "div", {className: "dmri-panels"}), pictures = [["k-space that is kept", "kx →   ky ↓, 100 dB"],
    ["its image", "x →   y ↓"], ["what is missing × 3", "x →   y ↓"]].map(words => picture(panels, ...words));
  const draw = () => {
    const order = part.value === "centre" ? near : near.slice().sort((a, b) => Math.abs(b - (Y >> 1)) - Math.abs(a - (Y >> 1))), kept = new Set(order.slice(0, lines.value));
    const some = whole.map(h => h.map((v, i) => kept.has(i / X | 0) ? v : 0)), shown = sizes(fourier(some, S.shape, true)), all = sizes(some);
    const bright = Math.max(1e-6, Math.min(1, shown.reduce((a, b) => Math.max(a, b))));
    pictures[0].paint(X, Y, logarithmic(all, peak));
    pictures[1].paint(X, Y, i => shown[i] / bright);
    pictures[2].paint(X, Y, i => 3 * Math.abs(shown[i] - image[i]), {colors: FIRE});
    const share = all.reduce((sum, v) => sum + v * v, 0) / energy;
    told.textContent = `${lines.value} of ${Y} lines, ${(100 * share).toFixed(1)} % of the energy, ${decibel(shown, image).toFixed(1)} dB`;
  };
  const part = control(controls, "keep the", ["centre", "edge"], "centre", draw), lines = control(controls, "lines", range(1, Y), S.lines, draw);
  draw();
}

/* Complex images, stored as integers of 16 bits. */
async function complexImages(S, ask) {
  const n = S.shape[0] * S.shape[1], all = new Int16Array((await unzip(await ask(S.images))).buffer);
  const part = k => Float64Array.from(all.subarray(k * n, (k + 1) * n), v => v * S.scale);
  return Array.from({length: all.length / (2 * n)}, (_, k) => [part(2 * k), part(2 * k + 1)]);
}

async function consistency({view, settings: S, ask}) {
  const [Y, X] = S.shape, images = await complexImages(S, ask), truth = images[0], target = sizes(truth), data = fourier(truth, S.shape, false), peak = sizes(data).reduce((a, b) => Math.max(a, b));
  const norm = Math.sqrt(sizes(data).reduce((sum, v) => sum + v * v, 0));
  const wrong = new Map(S.names.map((name, k) => [name, fourier(images[k + 1], S.shape, false)]));
  const controls = add(view, "div", {className: "dmri-controls"}), told = add(view, "p", {className: "dmri-told"}, {role: "status"});
  const panels = add(view, "div", {className: "dmri-panels"}), pictures = [["image", "x →   y ↓"], ["|error| × 5", "x →   y ↓"],
    ["|error| in k-space", "kx →   ky ↓, 100 dB"]].map(words => picture(panels, ...words));
  const draw = () => {
    const share = 1 / (1 + 1 / weight.value), from = wrong.get(start.value);
    const h = from.map((part, c) => part.map((v, i) => S.mask[i / X | 0] ? v + share * (data[c][i] - v) : v));
    const shown = sizes(fourier(h, S.shape, true)), error = sizes(h.map((part, c) => part.map((v, i) => v - data[c][i])));
    const left = [1, 0].map(lines => 100 * Math.sqrt(error.reduce((sum, v, i) => sum + (S.mask[i / X | 0] === lines ? v * v : 0), 0)) / norm);
    pictures[0].paint(X, Y, i => shown[i]);
    pictures[1].paint(X, Y, i => 5 * Math.abs(shown[i] - target[i]), {colors: FIRE});
    pictures[2].paint(X, Y, logarithmic(error, peak));
    told.textContent = `${decibel(shown, target).toFixed(1)} dB; k-space error: ${left[0].toFixed(2)} % on measured lines, ${left[1].toFixed(2)} % on the others`;
  };
  const start = control(controls, "start from", S.names, S.names[0], draw), weight = control(controls, "weight", [0, 0.1, 0.3, 1, 3, 10, 100, Infinity], 0, draw);
  draw();
}

async function coils({view, settings: S, ask}) {
  const [Y, X] = S.shape, [image, ...maps] = await complexImages(S, ask), truth = sizes(image);
  const controls = add(view, "div", {className: "dmri-controls"}), told = add(view, "p", {className: "dmri-told"}, {role: "status"});
  const panels = add(view, "div", {className: "dmri-panels"}), pictures = [["zero-filled × R", "x →   y ↓"], ["SENSE", "x →   y ↓"],
    ["|error| of SENSE × 5", "x →   y ↓"], ["g-factor", "1 (dark) to 3 (bright)"]].map(words => picture(panels, ...words));
  const draw = () => {
    const chosen = range(0, count.value - 1).map(k => maps[Math.floor(k * maps.length / count.value)]);  // all around the body
    const {found, filled, g, lost} = P.sense(image, chosen, S.shape, R.value, noise.value, 0), shown = sizes(found), folded = sizes(filled);
    const inside = g.filter(v => v).sort();
    pictures[0].paint(X, Y, i => folded[i]);
    pictures[1].paint(X, Y, i => shown[i]);
    pictures[2].paint(X, Y, i => 5 * Math.abs(shown[i] - truth[i]), {colors: FIRE});
    pictures[3].paint(X, Y, i => (g[i] - 1) / 2, {colors: FIRE});
    told.textContent = `SENSE ${Math.min(decibel(shown, truth), 99).toFixed(1)} dB, zero-filled ${decibel(folded, truth).toFixed(1)} dB`
      + (inside.length ? `; g-factor: median ${inside[inside.length >> 1].toFixed(2)}, one pixel in twenty above ${inside[Math.floor(0.95 * inside.length)].toFixed(2)}` : "")
      + (lost ? `; ${(100 * lost).toFixed(0)} % of the body cannot be unfolded: too few coils tell its pixels apart` : "");
  };
  const count = control(controls, "coils", range(1, maps.length), maps.length, draw), R = control(controls, "R", S.accelerations, S.acceleration, draw);
  const noise = control(controls, "noise", range(0, 0.05, 0.005), S.noise, draw);
  draw();
}

/* One method of the laboratory: its menu, pictures and scores, and a worker of its own. */
function column(parent, lab, method, choice) {
  const box = add(parent, "div", {className: "dmri-column"}), head = add(box, "div", {className: "dmri-head"});
  let worker = null, id = 0, found = null, asking = "";
  const menu = choice ? control(head, "method", lab.methods, method, () => { asking = ""; lab.change(); }, name => NAMES[name]) : null;
  const name = () => menu ? menu.value : method;
  const score = add(box, "p", {className: "dmri-score"}, {role: "status"});
  const busy = add(box, "div", {className: "dmri-busy", hidden: true}), bar = add(busy, "progress", {max: 1}, {"aria-label": "progress"});
  const image = picture(box, menu ? "" : NAMES[method], lab.short ? "" : "x →   y ↓"), error = picture(box, "", "|error| × 5");
  const profile = lab.profile ? picture(box, "", "frame →   y ↓") : null;
  button(busy, "Cancel", () => {
    asking = "";
    box.dataset.done = ++id;
    busy.hidden = true;
    worker.postMessage({cancel: true});
    score.textContent = "cancelled; any change computes again";
  });
  const start = () => {
    const made = new Worker(URL.createObjectURL(new Blob([`(${work})((${physics})())`], {type: "text/javascript"})));
    made.onmessage = async ({data}) => {
      if (data.want) return made.postMessage({asset: data.want, data: await lab.ask(data.want)});
      if (data.id !== id) return;
      if (data.share !== undefined) { busy.hidden = false; bar.value = data.share; return; }
      if (data.problem) {
        self.refuse();
        score.textContent = `Not possible: ${data.problem}`;
        return;
      }
      found = data.image ? data : {...found, ...data};
      if (data.image) self.paint();
      self.tell();
      if (!data.done) return;
      busy.hidden = true;
      box.dataset.done = id;
      box.dataset.result = JSON.stringify({...found, image: undefined});
      lab.scored(self);
    };
    made.onerror = event => { score.textContent = `Not possible: ${event.message}`; };
    made.postMessage({cine: lab.cine});
    return made;
  };
  const self = {
    get method() { return name(); },
    get found() { return found; },
    renew() { worker?.terminate(); worker = null; asking = ""; found = null; },
    request(job) {
      const key = JSON.stringify([name(), {...job, mask: Array.from(job.mask).join("")}]);
      if (key === asking) return;
      asking = key;
      delete box.dataset.done;
      worker ??= start();
      worker.postMessage({...job, method: name(), id: ++id});
      score.textContent = `${name() === "unrolled" || name() === "cascades_5" ? "the network computes" : "computing"} …`;
    },
    refuse() {
      asking = score.textContent = "";
      box.dataset.done = ++id;
      busy.hidden = true;
      found = null;
      worker?.postMessage({cancel: true});
      self.paint();
    },
    tell() {
      const parts = [`${found.psnr.toFixed(2)} dB`];
      if (found.ssim !== undefined) parts.push(`SSIM ${found.ssim.toFixed(3)}`);
      if (!lab.short && found.moving === found.moving) parts.push(`where it moves ${found.moving.toFixed(2)} dB`);
      if (found.contrast !== undefined) parts.push(`${(100 * found.contrast).toFixed(0)} % of the lesion's contrast`);
      if (found.ms > 1000) parts.push(`${(found.ms / 1000).toFixed(1)} s`);
      score.textContent = parts.join(", ");
    },
    paint() {
      const [T, Y, X] = lab.cine.shape, frame = lab.frame * X * Y, at = lab.profile ? lab.column : null, title = NAMES[name()];
      const shown = found ? found.image : null, say = (one, text) => one.canvas.setAttribute("aria-label", `${title}, ${text}`);
      image.paint(X, Y, i => shown ? shown[frame + i] : 0, {cursor: at});
      error.paint(X, Y, i => shown ? 5 * Math.abs(shown[frame + i] - lab.truth[frame + i]) : 0, {colors: FIRE});
      say(image, "y against x"); say(error, "error times 5");
      if (!profile) return;
      const values = shown && overTime(shown, lab.cine.shape, at);
      profile.paint(WIDE * T, Y, i => values ? values(i) : 0, {cursor: lab.frame * WIDE, aspect: `${X} / ${Y}`});
      say(profile, "y against frame at the chosen column");
    },
    stop() { worker?.terminate(); }, image, box,
  };
  image.onPoint((x, y) => lab.point(x, y));
  profile?.onPoint(x => lab.go(x / WIDE | 0));
  return self;
}

/* The laboratory: a cine is measured and reconstructed again at every move. Settings say what of it is shown. */
async function laboratory({view, settings: S, ask, model}) {
  const bytes = await unzip(await ask(S.cine)), course = {shape: S.shape, magnitude: Float32Array.from(bytes, v => v / 255), angle: null};
  const lab = {cine: course, truth: course.magnitude, methods: S.methods, ask, profile: S.profile, short: S.short, frame: S.start.frame, column: S.start.column};
  const s = {...S.start, lesion: null};
  let mask = null, hand = null, columns = [];
  const controls = add(view, "div", {className: "dmri-controls"}), told = add(view, "p", {className: "dmri-told"}, {role: "status"});
  const alert = add(view, "p", {className: "dmri-alert"}, {role: "alert"}), shared = add(view, "div", {className: "dmri-panels"});
  const row = add(view, "div", {className: "dmri-columns"}), extras = add(view, "div", {className: "dmri-extras"});

  const VALUES = {acceleration: range(1, 12, 0.5), center_lines: range(0, 48), density: ["quadratic", "gaussian"], seed: range(0, 20),
    noise: range(0, 0.1, 0.005), phase: ["none, as stored", "a scanner's"]};
  const TEXT = {acceleration: "acceleration", center_lines: "centre lines", density: "density", seed: "seed", noise: "noise", phase: "phase"};
  const knobs = {};
  for (const name of S.controls) {
    const values = typeof s[name] === "number" ? [...new Set([...VALUES[name], s[name]])].sort((a, b) => a - b) : VALUES[name];
    const value = name === "phase" ? values[+s.phase] : s[name];
    knobs[name] = control(controls, TEXT[name], values, value, one => { s[name] = name === "phase" ? one === values[1] : one; lab.change(); });
  }
  let frame = null, place = null;
  const paint = () => { lab.frame = frame.value; lab.column = place ? place.value : 0; panels.forEach(draw => draw()); columns.forEach(one => one.paint()); };
  const film_of = () => {
    const [T, , X] = lab.cine.shape;
    frame?.label.remove(); place?.label.remove();
    frame = film(controls, T, Math.min(lab.frame, T - 1), S.pause, paint);
    place = S.profile ? control(controls, "column x", range(0, X - 1), Math.min(lab.column, X - 1), paint, at => `${at} / ${X - 1}`) : null;
  };
  lab.go = at => { frame.value = at; paint(); };
  lab.point = (x, y) => { if (aim) return aim(x, y); if (place) { place.value = x; paint(); } };

  /* Pictures of the measurement: what settings.panels names. */
  let aim = null, cursor = null;
  const panels = [], size = () => lab.cine.shape;
  const PANELS = {
    truth: () => { const one = picture(shared, "fully sampled", "x →   y ↓"); one.onPoint((x, y) => lab.point(x, y));
      return () => { const [, Y, X] = size(); one.paint(X, Y, i => lab.truth[lab.frame * X * Y + i], {cursor: S.profile ? lab.column : null}); }; },
    mask: () => { const one = lab.maskPicture = picture(shared, "mask in ky-t", "frame →   ky ↓");
      return () => { const [T, Y] = size(); one.paint(WIDE * T, Y, i => mask ? mask[(i % (WIDE * T) / WIDE | 0) * Y + (i / (WIDE * T) | 0)] : 0, {cursor: lab.frame * WIDE, aspect: "1"});
        if (hand && cursor) { const c = one.canvas.getContext("2d"); c.fillStyle = "#e69f00"; c.fillRect(cursor.t * WIDE, cursor.y, WIDE, 1); } }; },
    line: () => { const one = picture(shared, "mask of the frame", "kx →   ky ↓");
      return () => { const [, Y] = size(); one.paint(8, Y, i => mask ? mask[lab.frame * Y + (i >> 3)] : 0, {aspect: "1"}); }; },
    psf: () => { const one = picture(shared, "point-spread function", "y →   −60 to 0 dB ↑");
      return () => {
        const [, Y] = size(), re = new Float64Array(Y), im = new Float64Array(Y), half = Y >> 1;
        for (let y = 0; y < Y; y++) re[(y + Y - half) % Y] = mask ? mask[lab.frame * Y + y] : 0;
        P.plan(Y)(re, im, 0, true);
        const spread = re.map((_, y) => Math.hypot(re[(y + Y - half) % Y], im[(y + Y - half) % Y])), peak = Math.max(...spread, 1e-12);
        const high = Math.round(Y / 2), at = y => Math.round(Math.min(20 * -Math.log10(Math.max(spread[y] / peak, 1e-3)), 60) * (high - 1) / 60);
        const heights = Array.from({length: Y}, (_, y) => at(y));
        one.paint(Y, high, i => { const y = i % Y, h = i / Y | 0, a = heights[y], b = heights[Math.max(y - 1, 0)]; return h >= Math.min(a, b) && h <= Math.max(a, b) ? 0 : 1; }, {aspect: "1"});
      }; },
  };
  for (const name of S.panels) panels.push(PANELS[name]());

  /* A change of what is measured: a mask, or the sentence why there is none; then every method is asked. */
  const said = () => {
    const [T, Y] = size(), lines = mask.reduce((a, b) => a + b, 0), here = mask.subarray(lab.frame * Y, lab.frame * Y + Y).reduce((a, b) => a + b, 0);
    return `${here} of ${Y} lines, acceleration ${(T * Y / Math.max(lines, 1)).toFixed(2)} achieved`;
  };
  lab.change = () => {
    alert.textContent = "";
    try {
      mask = hand ?? P.mask(size(), s);
      if (!mask.some(v => v)) throw new Error("nothing to reconstruct: a cine has no signal in its sampled lines");
    } catch (problem) {
      mask = null;
      alert.textContent = `Not possible: ${problem.message}`;
      told.textContent = "";
      columns.forEach(one => one.refuse());
      return paint();
    }
    told.textContent = said();
    lab.truth = s.lesion ? (weights => lab.cine.magnitude.map((v, i) => v + 0.35 * weights[i]))(P.lesion(size(), s.lesion)) : lab.cine.magnitude;
    columns.forEach(one => one.request({mask, noise: s.noise, phase: !!s.phase, seed: s.seed, lesion: s.lesion}));
    paint();
    const {lesion, ...plain} = s;
    model.set("state", plain);
    model.save_changes();
  };
  lab.scored = one => EXTRAS_HEAR.forEach(hear => hear(one));
  const EXTRAS_HEAR = [], fold = title => { const box = add(extras, "details"); add(box, "summary", {textContent: title}); return box; };
  const EXTRAS = {draw: drawing, lesion: lesions, file: ownFile};

  /* Your mask against ours: lines drawn by hand, as many in a frame as the course measures. */
  function drawing() {
    const box = fold("Draw the mask by hand"), budget = () => Math.floor(size()[1] / 5), best = [];
    add(box, "p", {textContent: "Draw in the mask with the pointer, or move with the arrow keys and press the space bar. Erase a line by drawing over it. "
      + "Every frame may have a fifth of the lines, as at acceleration 5. The first method counts."});
    const bar = add(box, "div", {className: "dmri-bar"}), verdict = add(box, "p", {className: "dmri-told"}, {role: "status"}), kept = add(box, "div", {className: "dmri-bar"});
    const ours = new Map();
    let every = true, shift = 0, on = 1, held = false, last = null;
    const begin = lines => {
      const [T, Y] = size();
      hand = lines ?? new Uint8Array(T * Y);
      cursor ??= {t: 0, y: Y >> 1};
      toggle.textContent = "Back to the rule";
      Object.assign(lab.maskPicture.canvas, {tabIndex: 0});
      lab.maskPicture.canvas.classList.add("dmri-draw");
      lab.maskPicture.canvas.setAttribute("role", "application");
      lab.change();
    };
    const end = () => {
      hand = null;
      toggle.textContent = "Draw by hand";
      lab.maskPicture.canvas.tabIndex = -1;
      lab.maskPicture.canvas.classList.remove("dmri-draw");
      lab.maskPicture.canvas.setAttribute("role", "img");
      lab.change();
    };
    const toggle = button(bar, "Draw by hand", () => hand ? end() : begin(P.mask(size(), {...s, acceleration: 5, center_lines: Math.min(s.center_lines, budget())})));
    button(bar, "Empty", () => begin());
    control(bar, "frames", ["the same lines in all", "each for itself"], "the same lines in all", one => { every = one[0] === "t"; });
    control(bar, "moved in each frame by", range(0, 8), 0, one => { shift = one; });
    const put = (t, y, value) => {
      const [T, Y] = size();
      let full = false;
      for (let f = 0; f < T; f++) {
        if (!every && f !== t) continue;
        const line = ((y + shift * (f - t)) % Y + Y) % Y, at = f * Y, count = hand.subarray(at, at + Y).reduce((a, b) => a + b, 0);
        if (value && !hand[at + line] && count >= budget()) { full = true; continue; }
        hand[at + line] = value;
      }
      verdict.textContent = full ? `${budget()} lines are drawn: take one away first` : "";
    };
    const point = event => {
      const canvas = lab.maskPicture.canvas, [T, Y] = size(), within = (v, n) => Math.min(n - 1, Math.max(0, Math.floor(v)));
      return {t: within(event.offsetX / canvas.clientWidth * T, T), y: within(event.offsetY / canvas.clientHeight * Y, Y)};
    };
    const canvas = lab.maskPicture.canvas;
    canvas.addEventListener("pointerdown", event => {
      if (!hand) return;
      canvas.setPointerCapture(event.pointerId);
      cursor = last = point(event); held = true; on = 1 - hand[last.t * size()[1] + last.y];
      put(last.t, last.y, on); lab.change();
    });
    canvas.addEventListener("pointermove", event => {
      if (!held) return;
      const to = point(event);
      for (let y = last.y; y !== to.y; y += Math.sign(to.y - y)) put(to.t, y, on);
      put(to.t, to.y, on); cursor = last = to; lab.change();
    });
    canvas.addEventListener("pointerup", () => { held = false; });
    canvas.addEventListener("keydown", event => {
      const step = {ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0]}[event.key], [T, Y] = size();
      if (!hand || (!step && event.key !== " ")) return;
      event.preventDefault();
      if (step) cursor = {t: (cursor.t + step[0] + T) % T, y: (cursor.y + step[1] + Y) % Y};
      else { put(cursor.t, cursor.y, 1 - hand[cursor.t * Y + cursor.y]); lab.change(); }
      canvas.setAttribute("aria-label", `mask in ky-t, frame ${cursor.t}, line ${cursor.y}, ${hand[cursor.t * Y + cursor.y] ? "measured" : "not measured"}`);
      paint();
    });
    canvas.setAttribute("data-lm-suppress-shortcuts", "true");
    EXTRAS_HEAR.push(one => {
      if (one !== columns[0]) return;
      const key = JSON.stringify([one.method, s.noise, s.phase, s.lesion, size()]), {psnr} = one.found;
      if (!hand) { if (s.acceleration === 5) ours.set(key, psnr); return; }
      const rule = ours.get(key), [, Y] = size(), lines = Math.max(...range(0, size()[0] - 1).map(f => hand.subarray(f * Y, f * Y + Y).reduce((a, b) => a + b, 0)));
      verdict.textContent = `${lines} of ${budget()} lines in the fullest frame: ${psnr.toFixed(2)} dB by ${NAMES[one.method]}` + (rule ? `; our mask: ${rule.toFixed(2)} dB` : "");
      best.push({psnr, mask: hand.slice(), method: one.method});
      best.sort((a, b) => b.psnr - a.psnr);
      best.splice(5);
      kept.replaceChildren();
      for (const [n, {psnr: value, mask: own, method}] of best.entries()) button(kept, `${n + 1}. ${value.toFixed(2)} dB, ${NAMES[method]}`, () => { if (own.length === size()[0] * Y) begin(own.slice()); });
    });
  }

  /* A spot as bright as blood, moving with the beat: how much of its contrast does a method keep? */
  function lesions() {
    const box = fold("Hide a lesion in the heart"), [, Y, X] = size();
    add(box, "p", {textContent: "Press the button, then click into an image. The spot is as bright as blood and moves down and up once in a beat. "
      + "Below each method stands the share of its contrast that survives: with the lesion against without."});
    const bar = add(box, "div", {className: "dmri-bar"}), spot = {x: X >> 1, y: Y >> 1, radius: 2, travel: 4};
    const set = part => { Object.assign(spot, part); if (s.lesion) { s.lesion = {...spot}; lab.change(); } };
    const across = {};
    button(bar, "Drop a lesion", () => {
      s.lesion = {...spot};
      aim = (x, y) => { across.x.value = x; across.y.value = y; set({x, y}); };
      lab.change();
    });
    button(bar, "Take it out", () => { s.lesion = aim = null; lab.change(); });
    const sliders = add(box, "div", {className: "dmri-controls"});
    across.x = control(sliders, "lesion x", range(0, X - 1), spot.x, x => set({x}));
    across.y = control(sliders, "lesion y", range(0, Y - 1), spot.y, y => set({y}));
    control(sliders, "radius", range(1, 6, 0.5), spot.radius, radius => set({radius}));
    control(sliders, "moves by", range(0, 12), spot.travel, travel => set({travel}), at => `${at} pixels`);
  }

  /* An own cine: it stays on the reader's machine. */
  function ownFile() {
    const box = fold("Open a cine of your own"), label = add(box, "label", {textContent: "a file .npz (key dataset) or .npy, (t, y, x) or (n, t, y, x); it is read here and sent nowhere "});
    const input = add(label, "input", {type: "file", accept: ".npz,.npy"}, OURS), bar = add(box, "div", {className: "dmri-bar"});
    const problem = add(box, "p", {className: "dmri-alert"}, {role: "alert"}), which = add(bar, "span");
    const show = cine => {
      lab.cine = cine; lab.truth = cine.magnitude; s.lesion = aim = hand = cursor = null;
      if (cine.angle) s.phase = true;
      columns.forEach(one => one.renew());
      film_of(); lab.frame = frame.value; lab.column = place ? place.value : 0;
      lab.change();
    };
    input.addEventListener("change", async () => {
      problem.textContent = "";
      which.replaceChildren();
      try {
        const read = await files()(input.files[0]);
        show(read.cine(0));
        if (read.cines > 1) control(which, "cine", range(0, read.cines - 1), 0, n => { try { problem.textContent = ""; show(read.cine(n)); } catch (error) { problem.textContent = error.message; } });
      } catch (error) { problem.textContent = error.message; }
    });
    button(bar, "Back to the course's cine", () => { input.value = ""; which.replaceChildren(); problem.textContent = ""; s.phase = S.start.phase; show(course); });
  }

  columns = S.columns.map(method => column(row, lab, method, S.choice));
  film_of();
  for (const name of S.extras) EXTRAS[name]();
  model.on("change:state", () => {
    const wanted = model.get("state"), changed = Object.keys(wanted).filter(name => name in knobs && wanted[name] !== s[name]);
    for (const name of changed) { s[name] = wanted[name]; knobs[name].value = name === "phase" ? VALUES.phase[+wanted.phase] : wanted[name]; }
    if (changed.length) lab.change();
  });
  lab.change();
  if (S.play && !matchMedia("(prefers-reduced-motion: reduce)").matches) frame.play();
  return () => columns.forEach(one => one.stop());
}

async function render({model, el}) {
  const waiting = new Map(), settings = model.get("settings"), view = document.createElement("div");
  model.on("msg:custom", ({name}, [data]) => waiting.get(name)?.arrive(ArrayBuffer.isView(data) ? data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) : data));
  const ask = name => {
    if (!waiting.has(name)) {
      let arrive;
      waiting.set(name, Object.assign(new Promise(resolve => { arrive = resolve; }), {arrive: data => arrive(data)}));
      model.send({want: name});
    }
    return waiting.get(name);
  };
  view.className = "dmri-view";
  const stop = await {viewer, kspace, consistency, coils, laboratory}[settings.kind]({view, settings, ask, model});
  el.classList.add("dmri-live");
  el.prepend(view);
  el.dataset.ready = "true";
  return stop;
}
export default {render};
