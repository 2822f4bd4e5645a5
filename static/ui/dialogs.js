// Dialogs: data-open="id" opens one, data-close closes; a part that htmx puts into a dialog opens it.
export function show(dialog) {
  if (dialog && !dialog.open) dialog.showModal();
}

document.addEventListener("click", event => {
  const opener = event.target.closest("[data-open]");
  const dialog = opener && document.getElementById(opener.dataset.open);
  if (dialog) {
    event.preventDefault();
    show(dialog);
  }
  if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
  // Where closedby is not known yet: a click on the backdrop is a click on the dialog, outside of its box.
  if (event.target.matches("dialog[closedby=any]") && !("closedBy" in event.target)) {
    const box = event.target.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (!inside) event.target.close();
  }
});

document.addEventListener("htmx:afterSwap", event => {
  if (event.detail.target?.matches?.("dialog")) show(event.detail.target);
});

// The drawer never shows what it held before.
document.getElementById("drawer")?.addEventListener("close", event => event.target.replaceChildren());
