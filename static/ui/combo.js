// Fields with options, such as the customer of a deal: arrows mark one, Enter and Tab take it, Escape lets go.
// Without this module the browser's own list of suggestions does.
const FEW = 10;
let input = null, shown = [], at = -1, taken = "";
const list = document.createElement("ul");
list.className = "combo";
list.id = "combo-list";
list.setAttribute("role", "listbox");
list.hidden = true;

const words = text => text.toLowerCase().split(/\s+/).filter(Boolean);

function found(field) {
  const wanted = words(field.value), seen = new Set();
  return ["-first", ""].flatMap(part => [...(document.getElementById(field.dataset.list + part)?.options ?? [])]).filter(option => {
    const text = `${option.value} ${option.label}`.toLowerCase();
    return !seen.has(option.value) && seen.add(option.value) && wanted.every(word => text.includes(word));
  });
}

function close() {
  list.hidden = true;
  at = -1;
  input?.setAttribute("aria-expanded", "false");
  input?.removeAttribute("aria-activedescendant");
}

function mark(next) {
  at = next;
  [...list.children].forEach((item, index) => item.setAttribute("aria-selected", index === at));
  if (at < 0) input.removeAttribute("aria-activedescendant");
  else {
    input.setAttribute("aria-activedescendant", list.children[at].id);
    list.children[at].scrollIntoView({ block: "nearest" });
  }
}

function open() {
  shown = found(input).slice(0, FEW);
  if (!shown.length || (shown.length === 1 && shown[0].value === input.value)) return close();
  list.replaceChildren(...shown.map((option, index) => {
    const item = document.createElement("li"), name = document.createElement("span");
    item.id = `combo-${index}`;
    item.setAttribute("role", "option");
    name.textContent = option.value;
    item.append(name);
    if (option.label !== option.value) item.append(Object.assign(document.createElement("small"), { textContent: option.label }));
    return item;
  }));
  input.after(list);
  list.hidden = false;
  list.setAttribute("aria-label", input.labels[0]?.textContent.trim() ?? "");
  input.setAttribute("aria-expanded", "true");
  mark(input.value ? 0 : -1);
}

function take(field, value) {
  close();
  field.value = taken = value;
  delete field.dataset.wanted;
  for (const kind of ["input", "change"]) field.dispatchEvent(new CustomEvent(kind, { bubbles: true, detail: "taken" }));
}

function enter(target) {
  if (!target.matches?.("[data-combos] :is(input[list], input[data-list])")) return;
  input = target;
  if (input.hasAttribute("list")) {
    input.dataset.list = input.getAttribute("list");
    input.removeAttribute("list"); // the browser's own list would open beside ours
    for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": list.id, "aria-expanded": "false" })) input.setAttribute(name, value);
  }
  if (!input.value) open();
  else if (!found(input).length) input.dispatchEvent(new CustomEvent("input", { bubbles: true })); // what was refused asks again
}
document.addEventListener("focusin", ({ target }) => enter(target));
document.addEventListener("DOMContentLoaded", () => setTimeout(() => { // htmx is there by now; somebody may have typed already
  enter(document.activeElement ?? document.body);
  if (input && input.value !== input.defaultValue) open();
}));
document.addEventListener("focusout", ({ target }) => {
  if (target === input) { close(); input = null; }
});
document.addEventListener("input", event => {
  if (event.target === input && event.detail !== "taken") open();
});
document.addEventListener("keydown", event => {
  if (!input || event.target !== input || event.isComposing) return;
  const opened = !list.hidden;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (!opened) open();
    else mark((at + (event.key === "ArrowDown" ? 1 : -1) + shown.length) % shown.length);
  } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
    if (opened && at >= 0) take(input, shown[at].value);
    else if (input.value && !found(input).length) input.dataset.wanted = "1"; // faster than the answer: taken when it comes, if it is the only one
    else return;
  } else if (event.key === "Escape" && opened) close();
  else {
    if (event.key === "Tab" && !event.shiftKey && input.value) {
      if (opened && at >= 0) take(input, shown[at].value);
      else if (!found(input).length) input.dataset.wanted = "1";
    }
    return;
  }
  event.preventDefault();
});
list.addEventListener("mousedown", event => {
  event.preventDefault();
  const item = event.target.closest("li");
  if (item) take(input, shown[[...list.children].indexOf(item)].value);
});
document.addEventListener("htmx:afterSwap", ({ detail: { target } }) => {
  if (!target?.matches?.("datalist")) return;
  if (input?.dataset.list === target.id && input.value && input.value !== taken && document.activeElement === input) open();
  const wanting = document.querySelector(`[data-wanted][data-list="${target.id}"]`);
  const only = wanting && found(wanting);
  if (only?.length === 1) take(wanting, only[0].value);
});
