// Adds another empty row to a list in a form. Without this file the same button asks the server for more rows.
(() => {
  "use strict";
  document.addEventListener("click", event => {
    const button = event.target.closest("[data-more]");
    const rows = button?.closest("fieldset, form")?.querySelector("[data-rows]");
    if (!rows) return;
    event.preventDefault();
    const last = [...rows.querySelectorAll("[data-row]")].at(-1);
    const row = last.cloneNode(true);
    const number = rows.querySelectorAll("[data-row]").length + 1;
    row.querySelectorAll("[id$='-problem']").forEach(problem => problem.remove());
    for (const field of row.querySelectorAll("textarea")) {
      const label = row.querySelector(`label[for="${field.id}"]`);
      field.id = field.id.replace(/\d+/, number);
      if (label) {
        label.htmlFor = field.id;
        label.textContent = label.textContent.replace(/\d+/, number);
      }
      field.value = field.textContent = "";
      field.removeAttribute("aria-invalid");
      field.removeAttribute("aria-describedby");
    }
    rows.append(row);
    row.querySelector("textarea").focus();
  });
})();
