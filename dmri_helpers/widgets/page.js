
(() => {
  const here = document.currentScript && document.currentScript.closest(".KIND");
  const root = here || document.querySelector("#ID:not([data-ready])");
  if (!root || root.dataset.ready) return;
  root.dataset.ready = "loading";
  const D = DATA, view = document.createElement("div");
  const add = (parent, tag, set = {}, attributes = {}) => {
    const node = Object.assign(document.createElement(tag), set);
    for (const name in attributes) node.setAttribute(name, attributes[name]);
    return parent.appendChild(node);
  };
  const finish = () => {
    view.className = "dmri-view";
    root.querySelector(".dmri-poster").style.display = "none";
    root.prepend(view);
    root.dataset.ready = "true";
  };
  BODY
})();
