// The browser's own payment sheet (W3C Payment Request), with the wallet that this site ships.

export default async function handler(section, checkout, data) {
  if (!globalThis.PaymentRequest || !globalThis.PaymentManager) return; // the section stays hidden
  const total = { label: data.label, amount: data.amount };
  try {
    if (!(await ask(null).canMakePayment())) return;
  } catch {
    return;
  }
  section.hidden = false;
  section.querySelector("[data-paywall-pay]").addEventListener("click", () => {
    checkout.run(async () => {
      checkout.progress("sheet");
      const challenge = await checkout.challenge();
      if (challenge === null) return location.reload();
      const response = await show(challenge);
      await response.complete("success");
      checkout.progress("paying");
      await checkout.present(response.details.payment);
    });
  });

  function ask(challenge) {
    return new PaymentRequest([{ supportedMethods: data.method, data: { challenge, label: data.label } }], { total });
  }

  async function show(challenge) {
    let response;
    try {
      response = await ask({ ...challenge, now: checkout.now() }).show();
    } catch (error) {
      const text = error.name === "AbortError" ? "rejected" : "sheet_failed";
      throw new checkout.Refusal(checkout.text(text, { reason: error.message }), { code: text });
    }
    if (response.details?.payment) return response;
    await response.complete("unknown");
    const reason = response.details?.refused;
    const text = reason ? checkout.text("sheet_failed", { reason }) : checkout.text("rejected");
    throw new checkout.Refusal(text, { code: "rejected" });
  }
}
