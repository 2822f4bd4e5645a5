// What every page needs from the browser. Pages can be read, and forms sent, without any of it.
import { openPalette } from "./palette.js";
import "./dialogs.js";
import { say } from "./toast.js";
import { listen } from "./keys.js";

const root = document.documentElement;

function isDark() {
  if (root.dataset.theme) return root.dataset.theme === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function setTheme(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${theme}; path=/; max-age=${theme ? 31536000 : 0}; samesite=lax${secure}`;
}

const switchTheme = () => setTheme(isDark() ? "light" : "dark");

document.addEventListener("submit", event => {
  if (!event.target.matches("[data-theme-form]")) return;
  event.preventDefault();
  switchTheme();
});

document.addEventListener("click", async event => {
  const copy = event.target.closest("[data-copy]");
  if (!copy) return;
  const source = document.getElementById(copy.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(source);
    say("Press Ctrl C to copy the selected text.");
  }
});

// A control marked so sends its form as soon as it changes; without scripts the form's button does.
document.addEventListener("change", ({ target }) => {
  if (target.matches("[data-submit]")) target.form.requestSubmit();
  if (target.dataset.all) for (const box of target.form.querySelectorAll(`[name="${target.dataset.all}"]`)) box.checked = target.checked;
});

document.addEventListener("htmx:responseError", event => {
  const status = event.detail.xhr.status;
  if (status === 401 || status === 403) say("You are not allowed to do that, or you were logged out.", "bad");
  else say("That did not work. Nothing was changed; please try again.", "bad");
});
document.addEventListener("htmx:sendError", () => say("No connection. Nothing was changed; please try again.", "bad"));
document.addEventListener("htmx:timeout", () => say("No answer in time. Please try again.", "bad"));

// Rows that become cards on a phone are no table for CSS any more; the roles keep them one for a screen reader.
const ROLES = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TFOOT: "rowgroup", TR: "row", TD: "cell" };
function keepTables(within) {
  for (const part of within.querySelectorAll(".cards :is(table, thead, tbody, tfoot, tr, td, th)")) {
    part.setAttribute("role", ROLES[part.tagName] ?? (part.scope === "row" ? "rowheader" : "columnheader"));
  }
}
keepTables(document);
document.addEventListener("htmx:load", event => keepTables(event.target.parentElement ?? document));

// A menu closes once something is chosen, elsewhere is clicked or Escape is pressed.
for (const kind of ["click", "keydown"]) document.addEventListener(kind, event => {
  if (event.key && event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    const inside = menu.contains(event.target);
    if (inside && !event.key && !event.target.closest("a")) continue;
    menu.open = false;
    if (inside) menu.firstElementChild.focus();
  }
});

listen({ palette: openPalette, theme: switchTheme });
