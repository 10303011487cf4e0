/* Without a kernel: what the module asks of a model, from the page. Every asset is a script beside this one, or
   several, of which each names the next, so that no frame waits for a large one. */
(() => {
  const beside = document.currentScript.src.replace(/[^/]*$/, ""), held = {};
  const bytes = async text => Uint8Array.fromBase64 ? Uint8Array.fromBase64(text)
    : (await fetch(`data:application/octet-stream;base64,${text}`)).arrayBuffer();
  const load = (file, refuse) => document.head.append(Object.assign(document.createElement("script"), {src: `${beside}${file}.js`, onerror: refuse}));
  window.dmriAsset = async (name, text, next) => {
    const one = held[name];
    one.pieces.push(bytes(text));
    if (next) load(next, one.refuse);
    else one.arrive(new Blob(await Promise.all(one.pieces)).arrayBuffer());
  };
  const asset = name => (held[name] ??= (() => {
    const one = {pieces: []};
    one.whole = new Promise((arrive, refuse) => Object.assign(one, {arrive, refuse}));
    load(name, one.refuse);
    return one;
  })()).whole;
  const start = async el => {
    const state = {settings: JSON.parse(el.dataset.settings)}, heard = {};
    const tell = (event, ...said) => (heard[event] ?? []).forEach(hear => hear(...said));
    const model = {get: name => state[name], set: (name, value) => { state[name] = value; }, save_changes() {},
      on: (event, hear) => (heard[event] ??= []).push(hear),
      send: async ({want}) => tell("msg:custom", {name: want}, [await asset(want)])};
    const module = new Blob([await asset("module")], {type: "text/javascript"});
    await (await import(URL.createObjectURL(module))).default.render({model, el});
  };
  const seen = new IntersectionObserver(all => all.forEach(({isIntersecting, target}) => {
    if (isIntersecting && !target.dataset.ready) { target.dataset.ready = "loading"; start(target); }
  }), {rootMargin: "400px"});
  addEventListener("DOMContentLoaded", () => document.querySelectorAll(".dmri-live").forEach(el => seen.observe(el)));
})();
