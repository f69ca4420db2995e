// The counter's search box and a ticket's colleagues. Pages work without it.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// -- from the search box into what was found, with the arrows --------------------------------------

const hits = () => $$("#answer [data-list] a.hit");

document.addEventListener("keydown", (event) => {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const box = $("#q"), list = hits(), at = list.indexOf(document.activeElement);
  if (!box || !list.length || (at < 0 && document.activeElement !== box)) return;
  event.preventDefault();
  const to = at + (event.key === "ArrowDown" ? 1 : -1);
  (to < 0 ? box : list[Math.min(to, list.length - 1)]).focus();
});

// -- a caller who was given to this clerk comes up by themselves, where nothing else is being done;
// -- one whom nobody has yet is announced to all, and Enter in the empty search box takes the call

const STILL = "calls-stay";
const newest = () => Math.max(0, ...$$("#calls [data-call]").map((call) => Number(call.dataset.call)));
const given = () => $$("#calls [data-call][data-mine][data-channel=phone]").find((call) => Number(call.dataset.call) > rang);
let rang = newest();  // the number of the last call that was looked at

const waitsForCalls = () =>
  $("#answer [data-start]") && !$("#q").value && !document.hidden && !$("dialog[open]")
  && localStorage.getItem(STILL) !== "1";

addEventListener("page:fresh", () => {
  const call = given();
  rang = Math.max(rang, newest());
  if (call && waitsForCalls()) location.href = $("a", call).href;
});

const pops = $("#calls-pop");
if (pops) {
  pops.parentElement.hidden = false;
  pops.checked = localStorage.getItem(STILL) !== "1";
  const stay = () => $("#ringing")?.toggleAttribute("hidden", !pops.checked);
  pops.onchange = () => { localStorage.setItem(STILL, pops.checked ? "0" : "1"); stay(); };
  addEventListener("page:fresh", stay);
  stay();
}

$(".big-search")?.addEventListener("submit", (event) => {
  const first = $("#ringing:not([hidden]) form");
  if ($("#q").value.trim() || !first) return;
  event.preventDefault();
  first.requestSubmit();
});

// What is chosen here is selected for copying (the crew's link).
for (const field of $$("[data-select]")) {
  field.addEventListener("focus", () => field.select());
  field.focus();
}

for (const button of $$("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

// -- who else is on this ticket ----------------------------------------------------------------------

const HERE_MS = 8000;
const others = $("[data-here]");

const written = () => $$("main input[type=text], main textarea")
  .some((field) => !field.readOnly && field.value !== field.defaultValue);

async function here() {
  if (document.hidden) return;
  const headers = { "x-csrf-token": document.body.dataset.csrf ?? "", accept: "application/json" };
  const body = new URLSearchParams({ writing: written() ? "1" : "0" });
  try {
    const answer = await fetch(others.dataset.here, { method: "POST", headers, body, signal: AbortSignal.timeout(5000) });
    if (!answer.ok) return;
    const found = (await answer.json()).others;
    const text = found.map((x) => (x.writing ? others.dataset.writes : others.dataset.looks).replace("{name}", x.name)).join(" ");
    if (others.textContent !== text) others.textContent = text;
    others.hidden = !found.length;
  } catch {
    // no connection: the page's own bar says so
  }
}

if (others) {
  setInterval(here, HERE_MS);
  addEventListener("visibilitychange", here);
  // Colleagues learn at once that somebody has begun to write.
  addEventListener("input", () => { if (others.dataset.wrote !== "yes") { others.dataset.wrote = "yes"; here(); } });
}
