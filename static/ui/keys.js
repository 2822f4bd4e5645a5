// Keyboard: Ctrl or Cmd K always; single keys unless they are switched off (in the list that ? opens).
import { show } from "./dialogs.js";

const OFF = "single-keys-off";
const typing = target => target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");

function move(step) {
  const links = [...document.querySelectorAll("main tbody th a")].filter(link => link.offsetParent);
  const index = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(index + step, links.length - 1))]?.focus();
}

function go(selector) {
  const link = document.querySelector(selector);
  if (link) link.click();
}

export function listen({ palette, theme }) {
  let leader = -Infinity; // when G was pressed
  const toggle = document.getElementById("single-keys");
  if (toggle) {
    toggle.checked = !localStorage.getItem(OFF);
    toggle.addEventListener("change", () => {
      if (toggle.checked) localStorage.removeItem(OFF);
      else localStorage.setItem(OFF, "1");
    });
  }
  const single = {
    "/": () => { const find = document.querySelector("main input[type=search]"); if (find) find.focus(); else palette(); },
    "?": () => show(document.getElementById("shortcuts")),
    j: () => move(1),
    k: () => move(-1),
    t: theme,
    x: () => document.activeElement?.closest("tr")?.querySelector("[type=checkbox]")?.click(),
  };
  document.addEventListener("keydown", event => {
    const key = event.key.toLowerCase();
    if ((event.metaKey || event.ctrlKey) && !event.shiftKey && key === "k") {
      event.preventDefault();
      palette();
      return;
    }
    const main = key === "enter" && (event.metaKey || event.ctrlKey) && event.target.form?.querySelector("[data-main]");
    if (main) {
      event.preventDefault();
      main.click();
      return;
    }
    if (event.metaKey || event.ctrlKey || event.altKey || event.isComposing || typing(event.target)) return;
    if (localStorage.getItem(OFF) || document.querySelector("dialog[open]") || key.length !== 1) return;
    if (event.timeStamp - leader < 1200) {
      leader = -Infinity;
      go(`[data-go="${CSS.escape(key)}"]`);
    } else if (key === "g") leader = event.timeStamp;
    else if (single[key]) {
      event.preventDefault();
      single[key]();
    } else go(`[data-key="${CSS.escape(key)}"]`);
  });
  document.addEventListener("click", event => {
    if (event.target.closest("[data-theme-switch]")) theme();
  });
}
