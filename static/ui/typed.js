// What was typed survives logging in again: it waits in this tab, for the same page and the same person, and for nobody else.
import { said, say } from "./toast.js";

const KEY = "typed", DOOR = "/accounts/login/";
const who = document.querySelector(".me")?.textContent.trim();
const ticked = field => ["checkbox", "radio"].includes(field.type);
const fields = () => [...document.querySelectorAll("main form[method=post] :is(input, select, textarea)[name]")]
  .filter(field => !["hidden", "password", "file", "submit", "select-multiple"].includes(field.type));
const hold = typed => sessionStorage.setItem(KEY, JSON.stringify(typed));

function keep() {
  if (who) hold({ who, page: location.pathname, values: fields().map(field => [field.name, ticked(field) ? field.checked : field.value]) });
}
document.addEventListener("submit", event => { if (event.target.method === "post") keep(); });
document.addEventListener("htmx:beforeOnLoad", ({ detail }) => {
  if (!detail.xhr.getResponseHeader("HX-Redirect")?.startsWith(DOOR)) return;
  keep();
  addEventListener("pagehide", keep); // until the page has gone, somebody types on
});

const typed = JSON.parse(sessionStorage.getItem(KEY));
if (typed && location.pathname === DOOR) hold({ ...typed, asked: true });
else if (typed) {
  sessionStorage.removeItem(KEY);
  if (typed.asked && typed.who === who && typed.page === location.pathname) giveBack(typed.values);
}

function giveBack(values) {
  const found = fields();
  if (!values.length || found.length !== values.length || found.some((field, at) => field.name !== values[at][0])) return;
  found.forEach((field, at) => {
    if (ticked(field)) field.checked = values[at][1];
    else field.value = values[at][1];
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  say(said.kept);
}
