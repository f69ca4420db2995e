// A replay while it runs: how far it is, every second; and labels marked with the mouse. The page
// works without: its forms set times by hand, and loading it again shows the progress.

const $ = (selector, root = document) => root.querySelector(selector);
const trial = $("[data-trial]");
const progress = $("#trial-progress");
const LOOK_MS = 1000, PATIENCE_MS = 10000;

const shown = (n) => Number(n ?? 0).toLocaleString("en-US");

async function look() {
  let now;
  try {
    const answer = await fetch(`${trial.dataset.trial}/status`, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(answer.statusText);
    now = await answer.json();
  } catch {
    setTimeout(look, LOOK_MS * 3);
    return;
  }
  // A new state brings new parts of the page: read it anew, unless somebody is typing.
  const typing = document.activeElement?.matches("input, textarea, select");
  if (now.state !== trial.dataset.state && !typing) {
    location.reload();
    return;
  }
  if (typeof now.rows === "number") {
    const at = now.at_us ? ` · ${progress.dataset.at.replace("#time", new Date(now.at_us / 1000).toISOString().slice(0, 16).replace("T", " ") + "Z")}` : "";
    const found = Object.entries(now.alerts ?? {}).map(([side, n]) => ` · ${side.toUpperCase()}: ${n}`).join("");
    progress.textContent = progress.dataset.progress.replace("#done", shown(now.rows)).replace("#all", shown(now.rows_all ?? now.rows)) + at + found;
    const bar = $("#trial-bar");
    if (bar) bar.value = now.rows;
    // So far as it has come, the chart grows with it.
    const chart = $("[data-chart][data-state=drawn]");
    if (chart && now.speed && !now.paused) chart.dispatchEvent(new CustomEvent("chart:again"));
  }
  setTimeout(look, LOOK_MS);
}
if (trial?.dataset.over === "no") setTimeout(look, LOOK_MS);

// -- labels ------------------------------------------------------------------------------------

const form = $("#label-form");

addEventListener("key", (event) => {
  if (event.detail !== "l") return;
  const chart = $("[data-chart]");
  const on = chart.classList.toggle("labelling");
  chart.dataset.drag = on ? "label" : "zoom";
});

addEventListener("chart:band", (event) => {
  // The chart says site time in seconds; the form takes it as people write it.
  const text = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
  form.elements.onset.value = text(event.detail.from);
  form.elements.cleared.value = text(event.detail.to);
  form.elements.fault.focus();
});

for (const button of document.querySelectorAll("[data-label-edit]")) {
  button.addEventListener("click", () => {
    for (const [name, value] of Object.entries(JSON.parse(button.dataset.labelEdit))) form.elements[name].value = value;
    form.elements.fault.focus();
  });
}

// What is shown is what is taken home: the links follow the address.
addEventListener("chart:address", () => {
  for (const link of document.querySelectorAll('[data-downloads] a[href*="/readings."]')) {
    link.search = location.search;
  }
  for (const back of document.querySelectorAll('input[name="back"]')) back.value = location.search;
});
