// One socket per page. The socket says what changed. Each message becomes an event on <body>, and htmx then fetches the new content:
//   "journal" for every recorded change and when the connection is back, "log" for a growing log.
(() => {
  "use strict";
  const badge = document.getElementById("connection");
  const bar = document.getElementById("stale-bar");
  if (!badge || !("WebSocket" in window)) return;

  const STALE_AFTER = 10_000, LONGEST_PAUSE = 15_000;
  let last = null, pause = 250, lostAt = null, staleTimer = null;

  // The newest change that this page knows: from the socket, or from the rendered page.
  const cursor = () => Math.max(last ?? -1, ...[...document.querySelectorAll("[data-seq]")].map(e => Number(e.dataset.seq)));
  const tell = (name, detail) => document.body.dispatchEvent(new CustomEvent(name, {detail}));

  function address() {
    const url = new URL("/ws", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    if (cursor() >= 0) url.searchParams.set("after", cursor());
    const session = document.body.dataset.session;
    if (session) url.searchParams.set("session", session);
    const repository = document.body.dataset.repository;  // whose growing logs are told
    if (repository) url.searchParams.set("repository", repository);
    return url.href;
  }

  function show(text, lost) {
    badge.classList.toggle("is-lost", lost);
    if (badge.textContent !== text) badge.textContent = text;
  }

  function connect() {
    const socket = new WebSocket(address());
    socket.onopen = () => {
      pause = 250;
      clearTimeout(staleTimer);
      staleTimer = null;
      bar.hidden = true;
      show("live", false);
      if (lostAt) tell("journal", {kind: "back"});
      lostAt = null;
    };
    socket.onmessage = event => {
      const message = JSON.parse(event.data);
      if (message.kind === "log") return tell("log", message);
      last = message.kind === "reset" ? null : message.seq;
      tell("journal", message);
      say(message);
    };
    socket.onclose = () => {
      lostAt ??= new Date();
      show("reconnecting", true);
      staleTimer ??= setTimeout(stale, STALE_AFTER);
      setTimeout(connect, pause * (0.75 + Math.random() / 2));
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    };
  }

  function stale() {
    const time = bar.querySelector("time");
    time.dateTime = lostAt.toISOString();
    time.textContent = lostAt.toLocaleTimeString([], {hour12: false});
    bar.hidden = false;
  }

  // State changes in words, for people who use a screen reader.
  const polite = document.getElementById("said");
  const words = {needs_input: "needs you", completed: "is done", failed: "failed", cancelled: "was cancelled", running: "is running"};
  function say(message) {
    if (polite && message.kind === "ticket" && words[message.to]) polite.textContent = `${message.ticket} ${words[message.to]}`;
  }

  // Updates relative times between refreshes, by the same rule as the server.
  function count() {
    for (const time of document.querySelectorAll('time[data-form="ago"], time[data-form="span"]')) {
      const suffix = time.dataset.form === "ago" ? " ago" : "";
      const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000));
      if (seconds >= 86400) continue;
      const text = seconds < 45 ? (suffix ? "now" : `${seconds} s`)
        : seconds < 3600 ? `${Math.max(1, Math.round(seconds / 60))} min${suffix}` : `${Math.round(seconds / 3600)} h${suffix}`;
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // Words that are being typed outlive a refresh of their region. Where the refreshed page no longer has their form, because someone else sent it,
  // they are shown in the panel "unsent".
  const typed = new Map(), sent = new WeakSet();
  const key = field => `${field.form?.getAttribute("action")} ${field.id}`;
  document.addEventListener("htmx:before:swap", () => {
    for (const field of document.querySelectorAll("main :is(textarea, input.input)[id]:not([readonly], [type=search])")) {
      if (field.value !== field.defaultValue && !sent.has(field.form)) typed.set(key(field), {id: field.id, value: field.value});
      else typed.delete(key(field));
    }
  });
  document.addEventListener("htmx:after:swap", () => {
    for (const [name, {id, value}] of typed) {
      const field = document.getElementById(id);
      if (field && key(field) === name) {
        if (field !== document.activeElement) field.value = value;
        continue;
      }
      if (field?.value === value) field.value = field.defaultValue;  // the same place is another form's now
      typed.delete(name);
      unsent(value);
    }
  });

  function unsent(value) {
    const form = document.getElementById("unsent-form");
    if (form && !document.getElementById("unsent")) form.after(form.content.cloneNode(true));
    const panel = document.getElementById("unsent");
    let place = [...panel.querySelectorAll("textarea")].at(-1);
    if (place.value) {
      place.after(place = place.cloneNode());
      place.id = `unsent-${panel.querySelectorAll("textarea").length}`;
      place.ariaLabel = "What you typed";
    }
    place.value = value;
  }

  // A pressed button is busy until the next page has loaded.
  document.addEventListener("submit", event => {
    const button = event.submitter;
    if (event.defaultPrevented) return;
    sent.add(event.target);
    if (!button) return;
    setTimeout(() => { button.disabled = true; button.setAttribute("aria-busy", "true"); });
  });
  window.addEventListener("pageshow", event => {
    if (!event.persisted) return;
    for (const button of document.querySelectorAll("[aria-busy]")) { button.disabled = false; button.removeAttribute("aria-busy"); }
  });

  document.addEventListener("click", async event => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
    button.textContent = "Copied";
  });
  document.documentElement.classList.add("has-js");
  setInterval(count, 5000);
  connect();
})();
