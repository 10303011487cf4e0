/* Without a kernel: what the module asks of a model, from the page. Every asset is a script beside this one. */
(() => {
  const beside = document.currentScript.src.replace(/[^/]*$/, ""), held = {};
  const bytes = async text => (await fetch(`data:application/octet-stream;base64,${text}`)).arrayBuffer();
  window.dmriAsset = (name, text) => held[name].arrive(bytes(text));
  const asset = name => held[name] ??= (arrive => Object.assign(new Promise((resolve, reject) => {
    arrive = resolve;
    document.head.append(Object.assign(document.createElement("script"), {src: `${beside}${name}.js`, onerror: reject}));
  }), {arrive: data => arrive(data)}))();
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
