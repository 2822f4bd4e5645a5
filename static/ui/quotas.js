// What the parts of a quota leave of it, while they are typed. Without scripts the Check button says the same.
const form = document.querySelector("[data-parts]");
const out = form?.querySelector("[data-remainder]");

const locale = document.documentElement.dataset.locale || "en-US";
const comma = new Intl.NumberFormat(locale).format(1.5).includes(",");

// As the server reads it: by the reader's separators, or as programs write it; what may be both is left to the server.
function read(input) {
  const typed = input.value.replace(/[\s'’]/g, "");
  const both = comma && /^[1-9]\d{0,2}\.\d{3}$/.test(typed);
  const own = comma && (typed.includes(",") || /^\d{1,3}(\.\d{3})+$/.test(typed));
  const text = both ? "?" : own ? typed.replaceAll(".", "").replace(",", ".") : typed.replaceAll(comma ? "" : ",", "");
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
  const said = new Intl.NumberFormat(locale, { numberingSystem: "latn", minimumFractionDigits: digits, maximumFractionDigits: Number(exponent), ...(code ? { style: "currency", currency: code } : {}) });
  out.classList.toggle("off", off);
  out.lastElementChild.textContent = Number.isNaN(gap)
    ? out.dataset.unread
    : !off
      ? out.dataset.even
      : (gap > 0 ? out.dataset.over : out.dataset.under).replace("{amount}", said.format(Math.abs(gap)));
}

if (out && (form.dataset.own !== "" || form.querySelector("[data-own]"))) form.addEventListener("input", tell);
