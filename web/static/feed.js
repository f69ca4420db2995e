// The lines of the feed: news go where they belong, nothing moves under the cursor, and a list that
// is cut fetches its next lines by itself.

const $ = (selector, root = document) => root.querySelector(selector);

// A page that is left open for days, or through a storm, holds so many lines and no more: the
// least urgent go, never the one somebody is on.
const LINES_MAX = 300;
// Lines fold by the hundred: they are waited for. No two pages ask at the same moment.
const REFILL_MS = 400, REFILL_APART_MS = 800, REFILL_AGAIN_MS = 5000;

const waiting = new Map(); // new lines that wait behind the pill: line -> event data
const pill = $("#new-pill");
const feed = $("#feed");
const liveFeed = () => feed?.dataset.liveFeed === "yes";
// `data-next` of the list: from this rank on not every line is here; empty when all are.
const lines = () => $("#feed-lines");

const busy = () => lines()?.children.length > 0 &&
  (feed.contains(document.activeElement) || feed.matches(":hover") || feed.scrollTop > 4);

// The line that somebody is on or reads; what is above it must not come or go.
function held() {
  const list = lines(), on = document.activeElement?.closest("#feed-lines > *") ?? $(":scope > :hover", list);
  if (on || feed.scrollTop <= 4) return on;
  const top = feed.getBoundingClientRect().top;
  return [...list.children].find((row) => row.getBoundingClientRect().bottom > top) ?? null;
}

// Do something to the list; the line that somebody is on stays where it stands.
function still(act) {
  const row = held(), before = row?.getBoundingClientRect().top;
  act();
  const moved = row?.isConnected ? row.getBoundingClientRect().top - before : 0;
  if (moved) feed.scrollTop += moved;
}

function parsed(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html.trim();
  return holder.content.firstElementChild;
}

function rowOf(html) {
  const row = parsed(html);
  row.classList.toggle("selected", $("[data-pane-line]")?.dataset.paneLine === row.dataset.line);
  return row;
}

function insert(row) {
  const list = lines();
  const after = [...list.children].find((x) => x.dataset.rank > row.dataset.rank);
  list.insertBefore(row, after ?? null);
  globalThis.htmx?.process(row);
}

function place(item) {
  if (!lines()) return;
  const row = rowOf(item.html), old = document.getElementById(row.id);
  if (old) {
    // In place: nothing moves under the cursor, and the focus stays where it is.
    const focused = old.contains(document.activeElement);
    row.classList.toggle("selected", old.classList.contains("selected"));
    old.replaceWith(row);
    if (focused) $("a", row).focus({ preventScroll: true });
    globalThis.htmx?.process(row);
  } else {
    insert(row);
    row.classList.add("fresh");
    const say = $("#say");
    if (say) say.textContent = `${say.dataset.new} ${$(".title b", row)?.textContent ?? ""}`;
  }
  trim();
  const empty = $("#feed-empty");
  if (empty) empty.hidden = true;
}

// From this line on they have to be fetched when there is room again.
function missing(rank) {
  const list = lines();
  if (!list.dataset.next || rank < list.dataset.next) list.dataset.next = rank;
}

function trim() {
  const list = lines();
  for (let last = list.lastElementChild; last && list.children.length > LINES_MAX;) {
    const before = last.previousElementSibling;
    if (!last.contains(document.activeElement) && !last.matches(":hover")) {
      if (!last.dataset.gone) missing(last.dataset.rank);
      last.remove();
    }
    last = before;
  }
}

// What is no longer of the feed stays greyed for whoever is looking, and makes room when that
// moves nobody's line: at once what has become part of another cause, the rest for lines that wait
// to be shown.
function sweep() {
  const list = lines(), row = held();
  for (const gone of [...list.querySelectorAll(":scope > [data-gone]")]) {
    const above = row && gone.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
    if (gone !== row && !above && (gone.dataset.gone === "merged" || list.dataset.next)) gone.remove();
  }
}

// -- a list that is cut --------------------------------------------------------------------------

let refilling = 0;
let total = lines() ? Number(lines().dataset.total) : null;
const overMeanwhile = new Set(); // lines that ended while the next ones were being fetched

function refillSoon(ms = REFILL_MS + Math.random() * REFILL_APART_MS) {
  if (!refilling && liveFeed()) refilling = setTimeout(refill, ms);
}

async function refill() {
  sweep();
  const list = lines(), from = list.dataset.next, room = LINES_MAX - list.children.length;
  let again = 0;
  if (from && room > 0) {
    list.dataset.next = ""; // what is left out meanwhile is noted anew
    overMeanwhile.clear();
    try {
      const address = `/feed?from=${encodeURIComponent(from)}&limit=${room}`;
      // The realm: in another tab a drill may have been joined or left.
      const headers = { accept: "text/html", "x-realm": document.body.dataset.realm };
      const answer = await fetch(address, { headers, signal: AbortSignal.timeout(10000) });
      if (!answer.ok || answer.redirected) throw new Error(answer.statusText);
      const found = parsed(await answer.text());
      still(() => {
        for (const row of [...found.children]) {
          const known = document.getElementById(row.id) || waiting.has(row.dataset.line);
          if (!known && !overMeanwhile.has(row.dataset.line)) insert(row);
        }
        trim();
      });
      if (found.dataset.next) missing(found.dataset.next);
      feedTotal(Number(found.dataset.total));
      if (found.dataset.next && list.children.length < LINES_MAX) again = REFILL_MS; // most were here
    } catch {
      missing(from); // cut off, or too much to do: later
      again = REFILL_AGAIN_MS;
    }
  }
  refilling = 0;
  if (again) refillSoon(again);
  count();
}

export function feedTotal(lines_all) {
  if (!liveFeed() || lines_all == null) return;
  total = lines_all;
  count();
}

const figure = new Intl.NumberFormat(document.body.dataset.language);

function count() {
  const said = $("#feed-count"), list = lines();
  if (!said || !list) return;
  const shown = list.querySelectorAll(":scope > :not([data-gone])").length;
  said.hidden = total == null || total <= shown + waiting.size;
  const text = said.dataset.text.replace("#", figure.format(shown)).replace("@", figure.format(total ?? 0));
  if (said.textContent !== text) said.textContent = text;
  const storm = $(".storm");
  if (storm && total != null) storm.hidden = total <= LINES_MAX;
}

// -- news ------------------------------------------------------------------------------------------

function showPill() {
  if (!pill) return;
  pill.hidden = waiting.size === 0;
  pill.textContent = waiting.size === 1 ? pill.dataset.one : pill.dataset.many.replace("#", waiting.size);
}

export function releasePill() {
  for (const item of waiting.values()) place(item);
  waiting.clear();
  showPill();
  refillSoon();
}

export function feedEvent(item) {
  if (!lines() || !liveFeed() || !item.line) return;
  const present = document.getElementById(`line-${item.line}`);
  if (item.html) overMeanwhile.delete(item.line);
  else if (refilling) overMeanwhile.add(item.line);
  if (!item.html) {
    // Over and seen, or part of another cause.
    if (present) {
      present.classList.add("cleared");
      present.dataset.gone = item.merged ? "merged" : "over";
    }
    waiting.delete(item.line);
    sweep();
    refillSoon();
  } else if (present || !busy()) {
    place(item);
    waiting.delete(item.line);
  } else {
    waiting.set(item.line, item);
    if (waiting.size > LINES_MAX) {
      const [line, oldest] = waiting.entries().next().value;
      waiting.delete(line);
      missing(oldest.rank);
    }
  }
  showPill();
}

pill?.addEventListener("click", releasePill);
for (const left of ["pointerleave", "focusout", "scroll"]) {
  feed?.addEventListener(left, () => { if ($("[data-gone]", feed)) refillSoon(); }, { passive: true });
}
