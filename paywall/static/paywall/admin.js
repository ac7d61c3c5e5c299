// Opens what a link with data-dialog leads to in the list's dialog. Without this file it is a page.
"use strict";

addEventListener("click", async (event) => {
  if (event.target.closest("[data-close]")) return event.target.closest("dialog").close();
  const link = event.target.closest("a[data-dialog]");
  const dialog = document.getElementById("paywall-dialog");
  if (!link || !dialog || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  const response = await fetch(link.href, { headers: { "X-Requested-With": "fetch" } });
  if (!response.ok) { location.assign(link.href); return; }
  dialog.innerHTML = await response.text();
  dialog.showModal();
  dialog.querySelector("[name=amount]")?.select();
});
