// A page that says "on its way" looks again by itself, less and less often. It is loaded anew only while
// somebody sees it, and never by a timer in its markup (WCAG 2.2, technique F41).

const LONGEST = 60000; // ms

const key = `paywall again ${location.href}`;
const place = document.querySelector("[data-paywall-again]");
const first = Number(place.dataset.paywallAgain) * 1000;

let tries = 0;
try {
  tries = Number(sessionStorage.getItem(key)) || 0;
  sessionStorage.setItem(key, String(tries + 1));
} catch {
  // No storage: then it looks as often as at first.
}

function again() {
  if (document.hidden) document.addEventListener("visibilitychange", again, { once: true });
  else location.reload();
}

setTimeout(again, Math.min(LONGEST, first * 1.5 ** tries));
