"use strict";
// Search, filter and keys. The page is complete without it: everything that it needs is in the document.
(() => {
  const bar = document.querySelector(".toolbar");
  const results = [...document.querySelectorAll(".result")];
  const keys = document.querySelector(".keys");
  const keysOn = document.getElementById("keys-on");
  if (!bar || !results.length) return;
  bar.hidden = keys.hidden = false;
  const find = document.getElementById("find");
  const shown = document.getElementById("shown");
  const boxes = [...bar.querySelectorAll("[name=status]")];
  const openAll = document.getElementById("open-all");
  const texts = new Map();

  const textOf = (result) => {
    if (!texts.has(result)) texts.set(result, result.querySelector("summary").textContent.toLowerCase());
    return texts.get(result);
  };
  const visible = () => results.filter((result) => !result.hidden);

  function apply() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let count = 0;
    for (const result of results) {
      const fits = wanted.has(result.dataset.status) && words.every((word) => textOf(result).includes(word));
      result.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${count} of ${results.length} ${shown.dataset.what} shown`;
  }

  function move(by) {
    const list = visible();
    if (!list.length) return;
    const here = document.activeElement && document.activeElement.closest(".result");
    const at = list.indexOf(here);
    const next = at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + by));
    const summary = list[next].querySelector("summary");
    summary.focus();
    summary.scrollIntoView({ block: "nearest" });
  }

  function toggleAll() {
    const list = visible();
    const open = list.some((result) => !result.open);
    for (const result of list) result.open = open;
    openAll.textContent = open ? "Close all" : "Open all";
  }

  const actions = {
    "/": () => find.focus(),
    j: () => move(1),
    k: () => move(-1),
    o: () => {
      const result = document.activeElement && document.activeElement.closest(".result");
      if (result) result.open = !result.open;
    },
    a: toggleAll,
    "?": () => {
      keys.open = !keys.open;
      keys.querySelector("summary").focus();
    },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === find) {
      if (event.key === "Escape") {
        find.value = "";
        apply();
        find.blur();
      }
      return;
    }
    if (!keysOn.checked || event.target.matches("input:not([type=checkbox]), textarea, select")) return;
    const action = actions[event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  });
  bar.addEventListener("submit", (event) => event.preventDefault());
  find.addEventListener("input", apply);
  for (const box of boxes) box.addEventListener("change", apply);
  openAll.addEventListener("click", toggleAll);

  // A link to a result opens it.
  function reveal() {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let each = target; each; each = each.parentElement) {
      if (each.tagName === "DETAILS") each.open = true;
      each.hidden = false;
    }
    target.scrollIntoView();
  }
  addEventListener("hashchange", reveal);
  apply();
  reveal();
})();
