// Follows a growing log. Only one request is in flight; events that arrive in the meantime lead to one more request. The page never
// shows a line twice, because each request starts where the last answer ended.
(() => {
  "use strict";
  const PAUSE = 100;
  let busy = false, again = false;

  const panel = () => document.querySelector("[data-tail]");
  const follow = () => document.getElementById("follow")?.getAttribute("aria-pressed") === "true";

  async function fetchMore() {
    const log = panel();
    if (!log) return;
    if (busy) { again = true; return; }
    busy = true;
    again = false;
    try {
      const url = new URL(log.dataset.tail, location.href);
      url.searchParams.set("after", log.dataset.next);
      url.searchParams.set("line", log.dataset.line);
      const answer = await fetch(url, {headers: {Accept: "text/html"}});
      if (answer.ok && log.isConnected) append(log, new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      again = true;  // a network error: try again after the pause below
      await new Promise(done => setTimeout(done, 1000));
    }
    await new Promise(done => setTimeout(done, PAUSE));
    busy = false;
    if (again) fetchMore();
  }

  function append(log, page) {
    const chunk = page.querySelector("[data-next]");
    if (chunk.dataset.next === log.dataset.next) return;
    for (const step of chunk.querySelectorAll(":scope > details")) {
      const steps = log.querySelectorAll(":scope > details");
      if (step.hasAttribute("data-continues") && steps.length) {
        const list = steps[steps.length - 1].querySelector("ol");
        list.append(...step.querySelectorAll("ol > li"));
        list.closest("details").querySelector("summary > .small").textContent = `${list.children.length} lines`;
      } else {
        steps[steps.length - 1]?.removeAttribute("open");
        log.append(step);
      }
    }
    log.dataset.next = chunk.dataset.next;
    log.dataset.line = chunk.dataset.line;
    if (chunk.hasAttribute("data-more")) again = true;
    log.querySelector("[data-empty]")?.remove();
    toEnd();
  }

  function toEnd() {
    if (!follow()) return;
    const lists = panel()?.querySelectorAll("details[open] .log");
    const list = lists?.[lists.length - 1];
    if (list) list.scrollTop = list.scrollHeight;
  }

  document.addEventListener("click", event => {
    const button = event.target.closest("#follow");
    if (!button) return;
    button.setAttribute("aria-pressed", String(!follow()));
    toEnd();
  });

  // Searching hides the lines that do not match; it needs no request.
  document.addEventListener("input", event => {
    if (event.target.id !== "log-search") return;
    const wanted = event.target.value.trim().toLowerCase();
    for (const step of panel()?.querySelectorAll("details") ?? []) {
      let hits = 0;
      for (const line of step.querySelectorAll(".log li")) {
        line.hidden = wanted !== "" && !line.textContent.toLowerCase().includes(wanted);
        hits += !line.hidden;
      }
      if (wanted) step.open = hits > 0;
    }
  });

  document.body.addEventListener("log", event => {
    const log = panel();
    if (log && event.detail.run === log.dataset.run && Number(log.dataset.next) < event.detail.size) fetchMore();
  });
  document.body.addEventListener("journal", event => {
    const log = panel();
    if (log && (event.detail.kind === "back" || event.detail.run === log.dataset.run)) fetchMore();
  });
  toEnd();
})();
