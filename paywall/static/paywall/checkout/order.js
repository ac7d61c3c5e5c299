// An order that is paid from elsewhere, or on somebody else's page: shown in this one, and looked for
// until its money is there.

const EVERY = 3000; // ms between two looks
const SLOWER = 15000; // after ten minutes

export default function begin(section, checkout) {
  const place = section.querySelector("[data-paywall-order]");
  if (place.dataset.paywallOrder) look(place.dataset.paywallOrder, Date.now());
  section.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    checkout.run(async () => {
      const order = await ask(form.action, { method: "POST", body: new FormData(form) });
      if (order.goes_to) return location.assign(order.goes_to);
      if (order.paid) return checkout.enter(order.receipt);
      const first = !place.dataset.paywallOrder;
      show(order);
      if (!order.found) throw new checkout.Refusal(order.told);
      checkout.status.textContent = order.told;
      if (first) look(order.status, Date.now());
    });
  });

  async function ask(url, options = {}) {
    const sent = { ...options, headers: { Accept: "application/json" }, cache: "no-store" };
    const response = await fetch(url, sent).catch(() => {
      throw new checkout.Refusal(checkout.text("unavailable"));
    });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new checkout.Refusal(answer.detail || checkout.text("unavailable"));
    return answer;
  }

  // Shown anew only if something changed: what somebody types meanwhile stays.
  function show(order) {
    place.dataset.paywallOrder = order.status;
    if (order.html === place.shown) return;
    place.shown = order.html;
    place.innerHTML = order.html;
  }

  async function look(url, since) {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, Date.now() - since < 600000 ? EVERY : SLOWER));
      if (document.hidden) continue;
      let order;
      try {
        order = await ask(url);
      } catch {
        continue; // the next look may work
      }
      if (order.paid) return checkout.enter(order.receipt);
      show(order);
    }
  }
}
