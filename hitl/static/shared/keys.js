// Keyboard shortcuts from the table in keys.json, which /help/keys also shows. They are off while you type, and if you turned them off.
// Ctrl+Enter (or ⌘+Enter) in a text sends its form, with shortcuts on or off.
(() => {
  "use strict";
  const sends = "button:not([type=button], [name=more], [disabled])";  // a button "more" only asks for another row
  document.addEventListener("keydown", event => {
    const form = event.target.closest?.("form");
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !form || !event.target.matches("textarea, input")) return;
    event.preventDefault();
    const fold = event.target.closest("details");
    const button = (form.contains(fold) ? fold.querySelector(sends) : null) ?? form.querySelector(sends);
    if (button && !form.querySelector("[aria-busy]")) form.requestSubmit(button);
  });
  if (/Mac|iP(hone|ad)/.test(navigator.platform)) for (const hint of document.querySelectorAll("kbd[data-send]")) hint.textContent = "⌘⏎";
})();

(async () => {
  "use strict";
  if (document.documentElement.dataset.shortcuts === "off") return;
  const table = await (await fetch("/static/shared/keys.json")).json();
  let first = null, timer = null;

  const typing = element => element.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");

  const actions = {
    go: where => { location.href = where; },
    click: selector => document.querySelector(selector)?.click(),
    focus: selector => document.querySelector(selector)?.focus(),
    open: selector => {
      const field = document.querySelector(selector);
      const fold = field?.closest("details");
      if (fold) fold.open = true;
      field?.focus();
    },
    fold: selector => {
      const folds = [...document.querySelectorAll(selector)];
      const open = folds.some(each => !each.open);
      for (const each of folds) each.open = open;
    },
    move: what => {  // "1" or "-1", then a selector of the items; without a selector, the elements with data-item
      const [step, ...which] = what.split(" ");
      const items = [...document.querySelectorAll(which.join(" ") || "[data-item]")];
      if (!items.length) return;
      const at = items.findIndex(each => each === document.activeElement || each.closest("[data-group]")?.contains(document.activeElement));
      items[at < 0 ? 0 : Math.min(items.length - 1, Math.max(0, at + Number(step)))].focus();
    },
    near: selector => {  // in the group that has the focus, or in the first group
      const active = document.activeElement;
      const found = active.matches(selector) ? active : (active.closest("[data-group]") ?? document.querySelector("[data-group]"))?.querySelector(selector);
      const fold = found?.closest("details");
      if (fold) fold.open = true;
      found?.click();
    },
  };

  function find(key) {
    return table.find(entry => entry.keys === key) ?? (/^[1-9]$/.test(key) ? table.find(entry => entry.keys === "1 to 9") : undefined);
  }

  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target)) return;
    const pressed = first ? `${first} ${event.key}` : event.key;
    clearTimeout(timer);
    first = null;
    if (!pressed.includes(" ") && table.some(entry => entry.keys.startsWith(`${pressed} `) && !/^\d/.test(pressed))) {
      first = pressed;
      timer = setTimeout(() => { first = null; }, 1000);
      return;
    }
    const entry = find(pressed);
    const [verb, ...rest] = entry?.run.split(" ") ?? [];
    if (!actions[verb]) return;
    event.preventDefault();
    actions[verb](rest.join(" ").replace("{key}", event.key));
  });
  document.documentElement.classList.add("has-keys");
})();
