// The payment handler's service worker: opens the wallet's window, and hands over what it signed.
// PAYWALL is set before it: which origins may pay with this wallet, and where its window is.

let waiting = null;

const isAllowed = (address) => PAYWALL.origins.includes(new URL(address).origin);

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
// It is not told who asks; that is looked at when somebody pays.
self.addEventListener("canmakepayment", (event) => event.respondWith(true));

// A refusal is an answer without a payment: of an error the browser's sheet says nothing of use.
self.addEventListener("paymentrequest", (event) => {
  event.respondWith(
    new Promise((resolve) => {
      const method = event.methodData[0].supportedMethods;
      const answer = (details) => resolve({ methodName: method, details });
      if (!isAllowed(event.topOrigin) || !isAllowed(event.paymentRequestOrigin)) {
        return answer({ refused: "This site may not pay with this wallet." });
      }
      waiting?.answer({ refused: "Another payment was begun." });
      const { challenge, label } = event.methodData[0].data;
      const origin = new URL(event.topOrigin).origin;
      waiting = { answer, request: { origin, total: event.total, label: String(label ?? ""), challenge } };
      event.openWindow(PAYWALL.wallet).then((opened) => {
        if (!opened) answer({ refused: "The wallet's window could not be opened." });
      }, (error) => answer({ refused: error.message }));
    }),
  );
});

self.addEventListener("message", (event) => {
  const { kind, payment } = event.data;
  if (kind === "ready") return event.source.postMessage({ request: waiting?.request ?? null });
  if (!waiting) return;
  const { answer } = waiting;
  waiting = null;
  answer(kind === "signed" ? { payment } : { refused: "" });
});
