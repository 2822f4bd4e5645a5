// Short messages: from the server (already in the page, or by an HX-Trigger header) and from here.
const region = document.querySelector(".toasts");
const template = document.getElementById("toast");

function expire(toast) {
  // Bad news stays; something to undo stays for ten seconds.
  if (toast.classList.contains("t-bad")) return;
  let timer;
  const start = () => { timer = setTimeout(() => toast.remove(), toast.querySelector("form") ? 10000 : 6000); };
  for (const stop of ["mouseenter", "focusin"]) toast.addEventListener(stop, () => clearTimeout(timer));
  for (const go of ["mouseleave", "focusout"]) toast.addEventListener(go, start);
  start();
}

// What this script says stands in the page, in its language: say(said.copied).
export const said = template?.dataset ?? {};

export function say(text, tone = "accent") {
  if (!region || !template || region.textContent.includes(text)) return; // a page that asks again and again says it once
  const toast = template.content.firstElementChild.cloneNode(true);
  toast.classList.add(`t-${tone}`);
  const words = document.createElement("p");
  words.textContent = text;
  toast.prepend(words);
  region.append(toast);
  expire(toast);
}

region?.addEventListener("click", event => {
  if (event.target.closest("[data-dismiss]")) event.target.closest(".toast").remove();
});
region?.querySelectorAll(".toast").forEach(expire);
document.addEventListener("toast", event => say(event.detail.text ?? event.detail.value, event.detail.tone));
