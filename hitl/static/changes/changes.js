// On the page of changes, comments, marks and more rows appear without reloading the page. Each one is a link or a form that also works without
// this file. If a request fails, the browser sends the form in the normal way, and the next page says why.
(() => {
  "use strict";
  const place = document.querySelector("[data-tip]");
  if (!place) return;
  const {ticket, tip, look} = place.dataset;
  const base = `/tickets/${ticket}/changes`;

  const part = html => {
    const template = document.createElement("template");
    template.innerHTML = html.trim();
    return template.content;
  };

  async function get(url) {
    const answer = await fetch(url);
    return answer.ok ? part(await answer.text()) : null;
  }

  // Reloads the list of files and the count above the buttons. If several requests are in flight, only the last one counts.
  let asked = 0;
  async function refresh() {
    const turn = ++asked;
    const found = await get(`${base}/facts?${look}&tip=${tip}`);
    if (!found || turn !== asked) return;
    for (const each of [...found.children]) document.getElementById(each.id)?.replaceWith(each);
  }

  async function comment(link) {
    const row = link.closest("tr"), line = link.dataset.comment, anchor = `${link.closest(".file-box").id}-${line}`;
    const there = document.getElementById(`words-${anchor}`);
    if (there) return there.focus();
    const query = new URLSearchParams({tip, look, anchor, file: link.closest("[data-file]").dataset.file, side: line[0], line: line.slice(1)});
    const found = await get(`${base}/comment?${query}`);
    if (!found) { location.href = link.href; return; }
    row.after(found);
    document.getElementById(`words-${anchor}`).focus();
  }

  async function load(link) {
    const found = await get(`${link.dataset.load}&tip=${tip}`);
    if (!found) { location.href = link.href; return; }
    link.closest("[data-more]").replaceWith(found);
  }

  document.addEventListener("click", event => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const link = event.target.closest("a[data-comment], a[data-load], a[data-leave]");
    if (!link) return;
    event.preventDefault();
    if ("comment" in link.dataset) comment(link);
    else if ("load" in link.dataset) load(link);
    else {
      const line = document.getElementById(link.hash.slice(1))?.querySelector("a[data-comment]");
      link.closest("tr").remove();
      line?.focus();
    }
  });

  // A folded file is fetched when it is opened.
  document.addEventListener("toggle", event => {
    const fold = event.target;
    if (!fold.open || !fold.matches(".file") || fold.querySelector(".diff")) return;
    const link = fold.querySelector("a[data-load]");
    if (link) load(link);
  }, true);

  document.addEventListener("submit", async event => {
    const form = event.target.closest("form[data-part]"), button = event.submitter;
    if (!form || !button) return;
    event.preventDefault();
    const box = form.closest(".file-box"), row = form.closest("tr.diff-comment");
    const marks = button.name === "viewed", focus = row?.dataset.partOf;
    const where = button.hasAttribute("formaction") ? button.formAction : form.action;
    const answer = await fetch(where, {method: "POST", headers: {"X-Part": "1"}, body: new URLSearchParams(new FormData(form, button))});
    if (!answer.ok) {
      form.removeAttribute("data-part");
      form.requestSubmit(button);
      return;
    }
    const found = part(await answer.text());
    if (marks) {
      if (button.value === "yes") box.querySelector("details").open = false;
      form.replaceWith(found);
      box.querySelector("[data-viewed]").focus();
    } else if (row) {
      row.replaceWith(found);
      document.getElementById(focus)?.querySelector("a[data-comment]")?.focus();
    }
    refresh();
  }, true);
})();
