// What the parts of a quota leave of it, while they are typed. Without scripts the Check button says the same.
const form = document.querySelector("[data-parts]");
const out = form?.querySelector("[data-remainder]");

function read(input) {
  const text = input.value.replace(/[\s,]/g, "");
  return text === "" ? 0 : /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
}

function tell() {
  const { exponent, code } = form.dataset;
  const own = form.querySelector("[data-own]");
  const whole = own ? read(own) : Number(form.dataset.own);
  let sum = 0;
  for (const input of form.querySelectorAll("[data-part]")) sum += input.matches("input") ? read(input) : Number(input.dataset.part);
  const gap = sum - whole;
  const off = Number.isNaN(gap) || Math.abs(gap) >= 0.5 / 10 ** exponent;
  const digits = code ? Number(exponent) : 0;
  const said = new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: Number(exponent), ...(code ? { style: "currency", currency: code } : {}) });
  out.classList.toggle("off", off);
  out.lastElementChild.textContent = Number.isNaN(gap)
    ? "An amount cannot be read."
    : !off
      ? "The parts add up to the quota."
      : gap > 0 ? `The parts exceed the quota by ${said.format(gap)}.` : `${said.format(-gap)} of the quota is not handed down.`;
}

if (out && (form.dataset.own !== "" || form.querySelector("[data-own]"))) form.addEventListener("input", tell);
