// Draws the dashboard's charts from the numbers beside them, and draws them anew when htmx brings
// others. Without this file every number still stands in its table.
"use strict";

(() => {
  const drawn = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function draw() {
    while (drawn.length) drawn.pop().destroy();
    const data = document.getElementById("desk-data");
    if (!data || typeof Chart === "undefined") return;
    const charts = JSON.parse(data.textContent);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const language = document.documentElement.lang || undefined;
    for (const canvas of document.querySelectorAll("canvas[data-chart]")) {
      const { kind, labels, values, unit } = charts[canvas.dataset.chart];
      const ink = colour("--desk-quiet"), line = colour("--desk-line"), accent = colour("--desk-accent");
      const lying = kind === "bar";
      const number = (value) => value.toLocaleString(language) + (unit ? " " + unit : "");
      const short = (text) => (text.length > 28 ? text.slice(0, 27) + "…" : text);
      const money = { display: Boolean(unit), text: unit, color: ink };
      const scale = { ticks: { color: ink }, grid: { color: line }, title: money };
      const names = { ticks: { color: ink, autoSkip: !lying }, grid: { display: false } };
      if (lying) names.ticks.callback = (value, index) => short(labels[index]);
      drawn.push(new Chart(canvas, {
        type: kind,
        data: { labels, datasets: [{
          data: values, borderColor: accent, backgroundColor: lying ? accent : accent + "33",
          fill: !lying, pointRadius: labels.length > 40 ? 0 : 3, borderWidth: 2,
          maxBarThickness: 22,
        }] },
        options: {
          indexAxis: lying ? "y" : "x",
          maintainAspectRatio: false,
          animation: still ? false : { duration: 300 },
          locale: language,
          plugins: { legend: { display: false }, tooltip: { callbacks: {
            label: (item) => number(item.raw),
          } } },
          scales: lying ? { x: { ...scale, beginAtZero: true }, y: names }
                        : { x: names, y: { ...scale, beginAtZero: true } },
        },
      }));
    }
  }

  addEventListener("DOMContentLoaded", draw);
  // The owner turns the lights off.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  addEventListener("beforeprint", () => drawn.forEach((chart) => chart.resize()));

  addEventListener("htmx:beforeSwap", (event) => {
    // Nobody's table closes, and no focus is lost, because there are new numbers.
    const target = event.detail.target;
    const busy = document.hidden || target.contains(document.activeElement) || target.querySelector("details[open]");
    if (target.id === "desk-live" && busy && !target.querySelector("progress")) event.detail.shouldSwap = false;
  });
  addEventListener("htmx:afterSwap", draw);

  // A download begins where its progress is shown, and the page stays.
  const download = () => {
    const link = document.querySelector("a[data-download]");
    if (link && !sessionStorage.getItem(link.href)) {
      sessionStorage.setItem(link.href, "begun");
      link.click();
    }
  };
  addEventListener("DOMContentLoaded", download);
})();
