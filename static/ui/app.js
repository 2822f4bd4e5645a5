// What every page needs from the browser. Pages can be read, and forms sent, without any of it.
import { openPalette } from "./palette.js";
import "./dialogs.js";
import "./typed.js";
import { said, say } from "./toast.js";
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
    say(said.copied);
  } catch {
    getSelection().selectAllChildren(source);
    say(said.byHand);
  }
});

// A control marked so sends its form as soon as it changes; without scripts the form's button does.
document.addEventListener("change", ({ target }) => {
  if (target.matches("[data-submit]")) target.form.requestSubmit();
  if (target.dataset.all) for (const box of target.form.querySelectorAll(`[name="${target.dataset.all}"]`)) box.checked = target.checked;
  if (target.type === "checkbox") tellChosen(target.form);
});

// How many rows are chosen, where a form says so; Shift chooses all between the last box and this one.
function tellChosen(form) {
  const out = form?.querySelector("[data-chosen]");
  if (!out) return;
  const chosen = form.querySelectorAll(`[name="${out.dataset.chosen}"]:checked`).length;
  out.textContent = chosen || "";
}
let last = null;
document.addEventListener("click", ({ target, shiftKey }) => {
  if (!target.matches?.("tbody [type=checkbox]")) return;
  const boxes = [...target.closest("tbody").querySelectorAll("[type=checkbox]")], [from, to] = [boxes.indexOf(last), boxes.indexOf(target)].sort((a, b) => a - b);
  if (shiftKey && from >= 0) for (const box of boxes.slice(from, to)) box.checked = target.checked;
  last = target;
});
for (const form of document.forms) tellChosen(form);

document.addEventListener("htmx:responseError", event => {
  const { status } = event.detail.xhr;
  if (event.detail.xhr.getResponseHeader("HX-Trigger")) return; // it says itself what is wrong
  if (status === 401 || status === 403) say(said.forbidden, "bad");
  else say(said.failed, "bad");
});
document.addEventListener("htmx:sendError", () => say(said.offline, "bad"));
document.addEventListener("htmx:timeout", () => say(said.late, "bad"));

// Rows that become cards on a phone are no table for CSS any more; the roles keep them one for a screen reader.
const ROLES = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TFOOT: "rowgroup", TR: "row", TD: "cell" };
function keepTables(within) {
  for (const part of within.querySelectorAll(".cards :is(table, thead, tbody, tfoot, tr, td, th)")) {
    part.setAttribute("role", ROLES[part.tagName] ?? (part.scope === "row" ? "rowheader" : "columnheader"));
  }
}
keepTables(document);
document.addEventListener("htmx:load", event => keepTables(event.target.parentElement ?? document));

// The tab of this page is in view where the tabs are wider than the screen.
for (const tab of document.querySelectorAll(".tabs [aria-current]")) {
  const tabs = tab.parentElement;
  tabs.scrollLeft += tab.getBoundingClientRect().left - tabs.getBoundingClientRect().left - 24;
}

// A head stays in view where the whole width of its table does; a wider table scrolls in its card instead.
const fitting = new ResizeObserver(entries => {
  for (const { target } of entries) {
    const scroll = target.closest(".scroll");
    scroll.classList.toggle("fits", scroll.scrollWidth <= scroll.clientWidth);
  }
});
function keepHeads(within) {
  for (const part of within.querySelectorAll(".sticky-head .scroll, .sticky-head .scroll > table")) fitting.observe(part);
}
keepHeads(document);
document.addEventListener("htmx:load", event => keepHeads(event.target.parentElement ?? document));

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
