// Keys, live stream, site clock and charts. Pages work without any of it; nothing here decides
// anything, it only brings news sooner and saves key strokes.

import { drawCharts } from "./chart.js";
import { feedEvent, feedTotal, releasePill } from "./feed.js";

const body = document.body;
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const chinese = body.dataset.language === "zh-CN";

// On a phone the menu is wider than the screen: the page that is open is brought into view.
const here = $(".nav [aria-current]");
if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - 60;

// -- site clock and ages ---------------------------------------------------------------------
// Site time may be simulated and run at any speed: extrapolate from the last thing we were told.

const site = { us: Number(body.dataset.now), at: performance.now(), speed: 1 };
const siteNow = () => site.us + (performance.now() - site.at) * 1000 * site.speed;

const units = chinese
  ? { s: "秒", min: "分钟", h: "小时", d: "天" }
  : { s: " s", min: " min", h: " h", d: " d" };

function age(us) {
  const s = Math.max(0, Math.floor(us / 1e6));
  const one = (n, unit) => `${n}${units[unit]}`;
  if (s < 60) return one(s, "s");
  if (s < 3600) return one(Math.floor(s / 60), "min");
  if (s < 86400) {
    const minutes = Math.floor((s % 3600) / 60);
    return one(Math.floor(s / 3600), "h") + (minutes ? ` ${one(minutes, "min")}` : "");
  }
  const days = Math.floor(s / 86400), hours = Math.floor((s % 86400) / 3600);
  return one(days, "d") + (hours && days < 7 ? ` ${one(hours, "h")}` : "");
}

const clockElement = $("#clock");
const zone = clockElement?.parentElement.title || "UTC";
const clockFormat = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" });
const dateFormat = new Intl.DateTimeFormat("en-CA", { timeZone: zone, month: "2-digit", day: "2-digit" });

function tick() {
  const now = siteNow();
  if (clockElement) {
    const at = new Date(now / 1000);
    const text = clockFormat.format(at);
    if (clockElement.textContent !== text) clockElement.textContent = text;
    const date = $("#clock-date"), day = dateFormat.format(at);
    if (date && date.textContent !== day) date.textContent = day;
  }
  for (const element of $$(".age")) {
    const text = age(now - Number(element.dataset.since));
    if (element.textContent !== text) element.textContent = text;
  }
}
setInterval(tick, 1000);

// -- sections that read themselves anew -------------------------------------------------------

let again = 0;

function topicsOf(element) {
  return (element.dataset.topics ?? "").split(" ").filter(Boolean);
}

function wanted(topic, item) {
  const names = [`${topic}:*`, `${topic}:${item.key}`, `${topic}:incident=${item.incident}`];
  if (item.incident != null) names.push(`incident:${item.incident}`);
  return $$("[data-topics]").some((x) => topicsOf(x).some((name) => names.includes(name)));
}

// What a person has begun in a section, or may still take back there, must not be swept away.
const dirty = (section) =>
  $$("[data-undo]", section).length > 0
  || section.contains(document.activeElement) && /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)
  || $$("input[type=text], textarea", section).some((x) => x.value !== x.defaultValue)
  || $$("details[open]", section).length > 0;

async function reload() {
  again = 0;
  // The alert that is shown, not the one that the list would now choose first.
  const shown = () => $("[data-alert-pane]")?.dataset.alertPane;
  const pane = shown();
  const asked = location.href;
  const address = pane ? `/alerts/${encodeURIComponent(pane)}${location.search}` : asked;
  let text;
  try {
    const answer = await fetch(address, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(10000) });
    if (!answer.ok || answer.redirected) return;
    text = await answer.text();
  } catch {
    return; // the stream's own bar says that we are cut off
  }
  if (location.href !== asked || shown() !== pane) return;
  const fresh = new DOMParser().parseFromString(text, "text/html");
  if (fresh.body.dataset.realm !== body.dataset.realm) {
    // In another tab a drill was joined or left: its rows must not stand on this page.
    if ($$("input[type=text], textarea").some((x) => x.value !== x.defaultValue)) dead();
    else location.reload();
    return;
  }
  for (const section of $$("[data-live][id]")) {
    const next = fresh.getElementById(section.id);
    if (next && !dirty(section) && section.innerHTML !== next.innerHTML) {
      section.replaceWith(document.adoptNode(next));
      globalThis.htmx?.process(document.getElementById(section.id));
    }
  }
  prepare(document);
  dispatchEvent(new CustomEvent("page:fresh"));
}

function news(topic, item) {
  if (wanted(topic, item) && !again) again = setTimeout(reload, 250);
}

// -- the stream -------------------------------------------------------------------------------

let heard = performance.now();
let deadSince = 0;

function dead() {
  const bar = $("#live-bar");
  if (!bar || deadSince) return;
  deadSince = siteNow();
  bar.textContent = bar.dataset.text.replace("{time}", clockFormat.format(new Date(deadSince / 1000)));
  bar.hidden = false;
  body.classList.add("not-live");
}

function alive() {
  heard = performance.now();
  if (!deadSince) return;
  deadSince = 0;
  $("#live-bar").hidden = true;
  body.classList.remove("not-live");
}

function connect(address) {
  // The browser reconnects by itself and sends Last-Event-ID, so nothing is missed. It is not
  // closed in a hidden tab: an alert desk must not sleep when somebody looks elsewhere.
  const source = new EventSource(address);
  const on = (name, handle) =>
    source.addEventListener(name, (message) => {
      if (name !== "beat") alive();
      last = message.lastEventId || last;
      handle(JSON.parse(message.data));
    });
  let last = "";
  on("beat", (beat) => {
    if (beat.live && !performance.getEntriesByName("stream-live").length) performance.mark("stream-live");
    Object.assign(site, { us: beat.now_us, at: performance.now(), speed: beat.speed });
    if (beat.live) alive();
    else dead();
    tick();
  });
  on("alert", (item) => { feedEvent(item); news("alert", item); });
  on("incident", (item) => { feedEvent(item); news("incident", { ...item, incident: item.key }); });
  on("ticket", (item) => {
    // Who has it now stands on its line; a line that is not shown does not come for that.
    if (item.html && document.getElementById(`line-${item.line}`)) feedEvent(item);
    news("ticket", item);
  });
  on("contact", (item) => news("contact", item));
  on("notice", (item) => news("notice", item));
  on("figures", (item) => {
    const figures = $("#figures");
    if (figures) figures.outerHTML = item.html;
    const quiet = $("#feed-quiet");
    if (quiet && item.quiet) quiet.innerHTML = item.quiet;
    feedTotal(item.lines);
  });
  on("lines", (item) => feedTotal(item.lines));
  on("reset", () => location.reload());
  source.onerror = () => {
    dead();
    if (source.readyState === EventSource.CLOSED) {
      // Refused for good (signed out, too many pages): try again, slowly, from where we were.
      const from = last ? address.replace(/after=\d+/, `after=${last}`) : address;
      setTimeout(() => connect(from), 3000);
    }
  };
}

if (body.dataset.stream) {
  connect(body.dataset.stream);
  // A half-open connection gives no error: silence for three heartbeats means the same.
  setInterval(() => { if (performance.now() - heard > 16000) dead(); }, 1000);
  addEventListener("offline", dead);
}

// -- keys: single letters, never while typing; each may be changed (WCAG 2.1.4) -----------------

// What somebody has chosen instead of a delivered key, in this browser: delivered -> chosen.
const KEYS = "keys-mine";
const CHOOSABLE = /^[a-z0-9/?.,;=-]$/;
const keyFields = $$("[data-delivered]");
let chosenKeys = {};
try {
  // Keys only, and each once: whatever is stored there, the page goes on.
  const taken = new Set();
  for (const [delivered, key] of Object.entries(JSON.parse(localStorage.getItem(KEYS) ?? "{}") ?? {})) {
    if (typeof key === "string" && CHOOSABLE.test(key) && !taken.has(key)) chosenKeys[delivered] = key;
    taken.add(key);
  }
} catch {
  // unreadable: the delivered ones stand
}
const chosenFor = (delivered) => chosenKeys[delivered] ?? delivered;
const deliveredKeys = keyFields.map((field) => field.dataset.delivered);
const meant = (key) =>
  deliveredKeys.find((delivered) => chosenFor(delivered) === key) ?? (deliveredKeys.includes(key) ? "" : key);

// What stands on buttons and in the list is what has to be pressed.
function writeKeys(root) {
  for (const field of keyFields) field.value = chosenFor(field.dataset.delivered).toUpperCase();
  for (const cap of $$("kbd", root)) {
    cap.dataset.was ??= cap.textContent;
    const delivered = cap.dataset.was.toLowerCase();
    if (deliveredKeys.includes(delivered)) cap.textContent = chosenFor(delivered).toUpperCase();
  }
}

function choose(delivered, key) {
  // Two that want one key change places, so that none is left without.
  const other = deliveredKeys.find((x) => x !== delivered && chosenFor(x) === key);
  if (other) chosenKeys[other] = chosenFor(delivered);
  chosenKeys[delivered] = key;
  for (const one of deliveredKeys) if (chosenKeys[one] === one) delete chosenKeys[one];
  localStorage.setItem(KEYS, JSON.stringify(chosenKeys));
  writeKeys(document);
}

for (const field of keyFields) {
  field.addEventListener("focus", () => field.select());
  field.addEventListener("keydown", (event) => {
    // While an input method is on, only the place of the key is known.
    const key = event.key === "Process" ? event.code.replace(/^(Key|Digit)/, "").toLowerCase() : event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey || event.altKey || !CHOOSABLE.test(key)) return;
    event.preventDefault();
    choose(field.dataset.delivered, key);
    field.select();
  });
  field.addEventListener("blur", () => writeKeys(document));
}
$("#keys-delivered")?.addEventListener("click", () => {
  chosenKeys = {};
  localStorage.removeItem(KEYS);
  writeKeys(document);
});
$("#keys-open")?.addEventListener("click", () => $("#keys").showModal());

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");

function rows() {
  const list = $$(".feed-row > a");
  return list.length ? list : $$("[data-list] a[href]").filter((x) => x.offsetParent);
}

function move(step) {
  const all = rows();
  if (!all.length) return;
  let at = all.indexOf(document.activeElement);
  if (at < 0) at = all.findIndex((x) => x.closest(".selected, tr.selected"));
  const next = all[Math.min(Math.max(at + step, 0), all.length - 1)] ?? all[0];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

const press = (element) => {
  if (!element) return;
  if (element.matches("input, textarea, select")) { element.focus(); element.select?.(); }
  else element.click();
  // A part that opens is opened to be filled in.
  if (element.matches("summary")) setTimeout(() => $("input:not([type=hidden]), select", element.parentElement)?.focus());
};

// A page may give further letters to its own buttons and fields.
const own = (key) => {
  const element = /^[a-z]$/.test(key) ? $(`[data-key="${key}"]`) : null;
  return element ? () => press(element) : undefined;
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
  if (typing(event.target) || $("dialog[open]")) return;
  // Who dictates, or hits keys by accident, may do without: the list opens by its button as well.
  if (event.key.length === 1 && localStorage.getItem("keys-off") === "1") return;
  const key = event.key.length === 1 ? meant(event.key.toLowerCase()) : event.key;
  const act = {
    j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
    a: () => press($('[data-key="a"]')), t: () => press($('[data-key="t"]')),
    "/": () => ($('[data-key="/"]') ? press($('[data-key="/"]')) : (location.href = $('.nav a[href="/desk"]') ? "/desk" : "/engineer")),
    n: releasePill,
    g: () => { location.href = "/tickets"; },
    "?": () => $("#keys")?.showModal(),
  }[key] ?? own(key);
  const scrollable = event.key.startsWith("Arrow") && !document.activeElement?.closest("[data-list], .feed-row");
  if (act && !scrollable) { event.preventDefault(); act(); }
  // A page's own script (marking a band on a replay's chart) hears of the others.
  else if (key.length === 1) dispatchEvent(new CustomEvent("key", { detail: key }));
});

const keysOff = $("#keys-off");
if (keysOff) {
  keysOff.checked = localStorage.getItem("keys-off") === "1";
  keysOff.onchange = () => localStorage.setItem("keys-off", keysOff.checked ? "1" : "0");
}

// -- what a fresh piece of page needs ----------------------------------------------------------

// What was just done can be taken back for some seconds; then the offer goes, the plain way stays.
function countdown(bar) {
  bar.dataset.counting = "yes";
  const ends = performance.now() + Number(bar.dataset.undo) * 1000;
  const timer = setInterval(() => {
    const left = Math.ceil((ends - performance.now()) / 1000);
    if (left > 0 && bar.isConnected) {
      $("[data-undo-left]", bar).textContent = `${left}${units.s}`;
      return;
    }
    clearInterval(timer);
    const end = () => { bar.remove(); again ||= setTimeout(reload); };
    if (!bar.contains(document.activeElement)) end();
    else bar.addEventListener("focusout", end, { once: true });
  }, 250);
}

function prepare(root) {
  drawCharts(root);
  writeKeys(root);
  for (const bar of $$("[data-undo]:not([data-counting])", root)) countdown(bar);
  for (const box of $$("[data-check]", root)) {
    box.checked = localStorage.getItem(`check:${box.dataset.check}`) === "1";
    box.onchange = () => localStorage.setItem(`check:${box.dataset.check}`, box.checked ? "1" : "0");
  }
  for (const verdict of $$("[data-verdict]", root)) {
    const cause = $("[data-cause]", verdict.form);
    const narrow = () => {
      for (const option of $$("option[data-verdicts]", cause)) {
        option.hidden = verdict.value !== "" && !option.dataset.verdicts.split(" ").includes(verdict.value);
        if (option.hidden && option.selected) cause.value = "";
      }
    };
    verdict.onchange = narrow;
    narrow();
  }
  for (const row of $$("tr[data-href]", root)) {
    row.onclick = (event) => { if (!event.target.closest("a, button, input")) location.href = row.dataset.href; };
  }
  const chosen = $("[data-pane-line]")?.dataset.paneLine;
  if (chosen) {
    for (const row of $$(".feed-row")) row.classList.toggle("selected", row.dataset.line === chosen);
  }
}

function toast(text) {
  $(".toast")?.remove();
  const box = Object.assign(document.createElement("div"), { className: "toast", textContent: text });
  box.setAttribute("role", "alert");
  body.append(box);
  setTimeout(() => box.remove(), 8000);
}

// The language changes what is shown now: the alert that was opened since, the part zoomed into.
for (const link of $$('a[href^="/language/"]')) {
  link.addEventListener("click", () => {
    const to = new URL(link.href);
    to.searchParams.set("next", location.pathname + location.search);
    link.href = to.pathname + to.search;
  });
}

// Where the detail has no room beside the list, a line is a plain link to its own page.
document.addEventListener("click", (event) => {
  if (event.target.closest?.(".feed-row > a") && matchMedia("(max-width: 67.99rem)").matches) event.stopImmediatePropagation();
}, true);

document.addEventListener("htmx:after:swap", () => prepare(document));
document.addEventListener("htmx:response:error", (event) => {
  // What was typed stays: say what is wrong beside it.
  const page = new DOMParser().parseFromString(event.detail?.ctx?.text ?? "", "text/html");
  toast($("main p", page)?.textContent ?? page.body.textContent.slice(0, 200));
});
prepare(document);
tick();
