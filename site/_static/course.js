/* Folded parts open for paper, and when a link leads into them. */
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((fold) => (fold.open = true)));
const unfold = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folds = [];
  for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) folds.push(fold);
  folds.forEach((fold) => (fold.open = true));
  if (folds.length) target.scrollIntoView();
};
addEventListener("hashchange", unfold);
addEventListener("load", unfold);
