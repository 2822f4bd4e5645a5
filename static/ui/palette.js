// The command palette: filters what is in the page, and shows what a search adds.
import { show } from "./dialogs.js";

const dialog = document.getElementById("palette");
const input = dialog?.querySelector("input");
let at = 0;

const options = () => [...dialog.querySelectorAll("[role=option]:not([hidden])")];

function mark() {
  const shown = options();
  at = Math.max(0, Math.min(at, shown.length - 1));
  dialog.querySelectorAll("[role=option]").forEach((option, index) => {
    option.id ||= `palette-${index}`;
    option.setAttribute("aria-selected", option === shown[at]);
  });
  const current = shown[at];
  if (current) input.setAttribute("aria-activedescendant", current.id);
  else input.removeAttribute("aria-activedescendant");
  current?.scrollIntoView({ block: "nearest" });
  dialog.querySelector("[data-nothing]").hidden = shown.length > 0;
}

function filter() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const option of dialog.querySelectorAll("[data-local] [role=option]")) {
    const text = option.textContent.toLowerCase();
    option.hidden = !words.every(word => text.includes(word));
  }
  at = 0;
  mark();
}

// Pages looked at last, kept in this browser for this person until they log out.
const recent = dialog?.querySelector("[data-recent]");
const MOST = 6;
const place = `recent-${recent?.dataset.recent}`;

function visited() {
  try {
    return JSON.parse(localStorage.getItem(place)) ?? [];
  } catch {
    return [];
  }
}

if (recent?.dataset.recent) {
  const here = location.pathname, seen = visited().filter(([path]) => path !== here);
  for (const [path, title] of seen.slice(0, MOST)) {
    const link = recent.querySelector("template").content.firstElementChild.cloneNode(true);
    link.href = path;
    link.querySelector("span").textContent = title;
    recent.append(link);
  }
  recent.hidden = !seen.length;
  const own = dialog.querySelector(`[data-local] a[href="${CSS.escape(here)}"]`); // a page that the palette lists anyway
  const title = document.title.split(" · ").slice(0, -1).join(" · ");
  if (title && !own) localStorage.setItem(place, JSON.stringify([[here, title], ...seen].slice(0, MOST + 1)));
  document.addEventListener("submit", ({ target }) => {
    if (target.matches("[data-log-out]")) localStorage.removeItem(place);
  });
}

export const openPalette = () => show(dialog);

if (dialog) {
  input.addEventListener("input", filter);
  input.addEventListener("keydown", event => {
    if (event.key === "Enter") {
      event.preventDefault();
      options()[at]?.click();
      return;
    }
    if (event.key === "ArrowDown") at += 1;
    else if (event.key === "ArrowUp") at -= 1;
    else return;
    event.preventDefault();
    mark();
  });
  dialog.addEventListener("htmx:afterSwap", mark);
  dialog.addEventListener("click", event => {
    if (event.target.closest("[role=option]")) dialog.close();
  });
  dialog.addEventListener("toggle", event => {
    if (event.newState !== "open") return;
    input.select();
    filter();
  });
}
