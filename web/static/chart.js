// Charts of readings with uPlot. The server sends seconds of site time, so zooming needs no zone
// arithmetic; a zoom asks the server again and gets finer readings.

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Phases and devices differ by dash as well as by colour.
const LOOKS = {
  "phase-a": ["--phase-a", []],
  "phase-b": ["--phase-b", [9, 4]],
  "phase-c": ["--phase-c", [3, 3]],
  "phase-n": ["--phase-n", [12, 3, 3, 3]],
  "own-1": ["--series-1", []],
  "own-2": ["--series-2", [9, 4]],
  "own-3": ["--series-3", [3, 3]],
  peer: ["--peer", [2, 4]],
};

// A chart's seconds are wall-clock seconds of the site. They are shown as they are, never through
// the zone of the machine that looks: in its hour that summer time leaves out, ours would move.
const DAY = 86400;
const STEPS = [1, 5, 10, 15, 30, 60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY];

function ticks(u, axis, from, to, step) {
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return found;
}

// The hour, and below it the date where it changes; with steps of days the date alone.
function written(u, at, axis, space, step) {
  let before = "";
  return at.map((seconds) => {
    const [date, clock] = stamp(seconds, step < 60).split(" ");
    const text = step >= DAY ? date : date === before ? clock : `${clock}\n${date}`;
    before = date;
    return text;
  });
}
// Where a device has no value of its own stands `undefined` (joined), where it missed one `null`.
// A break lasts until the device speaks again: at times of others too, or the line crosses it.
export const spread = (panel) => panel.lines.map((line) => {
  const values = new Array(panel.time.length);
  line.at.forEach((place, i) => {
    if (line.mean[i] === null) values.fill(null, place, line.at[i + 1] ?? place + 1);
    else values[place] = line.mean[i];
  });
  return values;
});
// Room for "-5000 W": a minus sign that is cut off makes infeed look like load. The same for every
// panel, so that one moment stands below the other.
const AXIS_PX = 72;
const two = (n) => String(n).padStart(2, "0");
function stamp(seconds, exact = false) {
  const d = new Date(seconds * 1000);
  const clock = [d.getUTCHours(), d.getUTCMinutes(), ...(exact ? [d.getUTCSeconds()] : [])];
  return `${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())} ${clock.map(two).join(":")}`;
}

// Truth, labels and look-alikes as bands, what the machine raised as marks: under the lines.
// The tint is faint, so that lines are read through it; the edge is what the eye finds.
const BANDS = {
  judged: { tint: "--band", edge: "--p2" },
  truth: { tint: "--band-truth", edge: "--ok" },
  label: { tint: "--band-label", edge: "--phase-n" },
  benign: { tint: "--band-benign", edge: "--ink-3" },
};

function band(u, { from, to, kind }, bottom) {
  const { ctx, bbox } = u, { tint, edge } = BANDS[kind];
  const [left, right] = [from, to].map((x) => u.valToPos(x, "x", true));
  const width = Math.max(right - left, 2), thick = 3 * devicePixelRatio;
  ctx.fillStyle = css(tint);
  ctx.fillRect(left, bbox.top, width, bbox.height);
  ctx.fillStyle = css(edge);
  ctx.fillRect(left, bottom ? bbox.top + bbox.height - thick : bbox.top, width, thick);
}

function bands(u, data) {
  const { ctx, bbox } = u;
  for (const one of data.bands ?? []) band(u, one);
  for (const mark of data.marks ?? []) {
    const x = u.valToPos(mark.at, "x", true);
    ctx.setLineDash(mark.side === "b" ? [4 * devicePixelRatio, 4 * devicePixelRatio] : []);
    ctx.strokeStyle = css("--p1");
    ctx.lineWidth = 1.25 * devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.setLineDash([]);
}

function overlay(data, panel) {
  return (u) => {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    bands(u, data);
    if (data.band) band(u, { from: data.band[0], to: data.band[1], kind: "judged" }, true);
    ctx.font = `${11 * devicePixelRatio}px ${css("--font")}`;
    ctx.fillStyle = css("--ink-2");
    ctx.strokeStyle = css("--p2");
    ctx.lineWidth = devicePixelRatio;
    ctx.textAlign = "left";
    for (const limit of panel.limits) {
      const y = u.valToPos(limit.value, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.setLineDash([6, 6]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      // Written on the ground's colour, or lines and grid strike it through.
      const text = `${limit.label} ${limit.value} ${panel.unit}`;
      ctx.setLineDash([]);
      ctx.lineWidth = 4 * devicePixelRatio;
      ctx.strokeStyle = css("--surface");
      ctx.strokeText(text, bbox.left + 6, y - 5 * devicePixelRatio);
      ctx.fillText(text, bbox.left + 6, y - 5 * devicePixelRatio);
      ctx.strokeStyle = css("--p2");
      ctx.lineWidth = devicePixelRatio;
    }
    if (data.raised) {
      const x = u.valToPos(data.raised, "x", true);
      ctx.setLineDash([]);
      ctx.strokeStyle = css("--p1");
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillStyle = css("--p1");
      const left = x > bbox.left + bbox.width * 0.8;
      ctx.textAlign = left ? "right" : "left";
      ctx.fillText(data.raised_label, x + (left ? -5 : 5), bbox.top + 12 * devicePixelRatio);
    }
    ctx.restore();
  };
}

/* From nothing up to the highest limit at least: how near something came is seen only beside it. */
function whole(panel) {
  const least = Math.max(...panel.limits.map((limit) => limit.value));
  return (u, low, high) => [0, Math.max(high ?? 0, least) * 1.15];
}

function options(data, panel, width, zoom, time, first) {
  const axis = { stroke: css("--ink-2"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line-2"), width: 1 }, font: `11px ${css("--font")}` };
  return {
    width,
    height: first ? 270 : 150,
    cursor: { sync: { key: "readings" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
    scales: { x: { time: false, range: () => [data.from, data.to] }, ...(panel.whole ? { y: { range: whole(panel) } } : {}) },
    axes: [
      { ...axis, incrs: STEPS, space: 64, splits: ticks, values: written },
      { ...axis, size: AXIS_PX, values: (u, ticks) => ticks.map((v) => `${v} ${panel.unit}`) },
    ],
    series: [
      { label: time, value: (u, v) => (v == null ? "" : stamp(v)) },
      ...panel.lines.map((line) => {
        const [colour, dash] = LOOKS[line.look] ?? LOOKS["own-1"];
        return {
          label: line.label, stroke: css(colour), dash, width: line.look === "peer" ? 1 : 1.75,
          points: { show: line.at.length < 60, size: 4, fill: css("--surface") }, spanGaps: false,
          value: (u, v) => (v == null ? "" : `${v} ${panel.unit}`),
        };
      }),
    ],
    hooks: {
      drawAxes: [overlay(data, panel)],
      setSelect: [(u) => {
        if (u.select.width < 8) return;
        const holder = u.root.closest("[data-chart]");
        if (holder.dataset.drag === "label") {
          const [from, to] = [u.select.left, u.select.left + u.select.width].map((x) => u.posToVal(x, "x"));
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          dispatchEvent(new CustomEvent("chart:band", { detail: { from, to } }));
          return;
        }
        zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
      }],
    },
  };
}

function table(data, element) {
  // A canvas says nothing to a screen reader: the same readings as a table, thinned.
  const details = document.createElement("details");
  const events = [...(data.bands ?? []).map((b) => [b.from, b.to, b.label]), ...(data.marks ?? []).map((m) => [m.at, null, `${m.side.toUpperCase()} ${m.label}`])];
  const summary = document.createElement("summary");
  summary.textContent = element.dataset.table;
  details.append(summary);
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    if (events.length) {
      const list = document.createElement("ul");
      for (const [from, to, label] of events.sort((a, b) => a[0] - b[0])) {
        list.append(Object.assign(document.createElement("li"), { textContent: `${stamp(from)}${to ? ` – ${stamp(to)}` : ""} ${label}` }));
      }
      details.append(list);
    }
    for (const panel of data.panels) {
      const box = document.createElement("div");
      box.className = "table-wrap data-table";
      box.tabIndex = 0;
      const made = document.createElement("table");
      const head = made.createTHead().insertRow();
      for (const text of [element.dataset.time, ...panel.lines.map((x) => `${x.label} ${panel.unit}`)]) {
        const cell = document.createElement("th");
        cell.textContent = text;
        head.append(cell);
      }
      const rows = made.createTBody(), values = spread(panel);
      const step = Math.max(1, Math.ceil(panel.time.length / 200));
      for (let i = panel.time.length - 1; i >= 0; i -= step) {
        const row = rows.insertRow();
        row.insertCell().textContent = stamp(panel.time[i]);
        for (const line of values) row.insertCell().textContent = line[i] ?? "–";
      }
      box.append(made);
      details.append(box);
    }
  });
  return details;
}

function show(element, data) {
  for (const chart of element.charts ?? []) chart.destroy();
  element.charts = [];
  element.replaceChildren();
  if (!data.panels.length) {
    const p = document.createElement("p");
    p.className = "empty";
    p.textContent = data.nothing;
    element.append(p);
    return;
  }
  const zoom = (from, to) => {
    const perSecond = (data.to_us - data.from_us) / (data.to - data.from);
    const us = (x) => Math.round(data.from_us + (x - data.from) * perSecond);
    load(element, us(from), us(to), true);
  };
  for (const panel of data.panels) {
    const box = document.createElement("div");
    element.append(box);
    const chart = new uPlot(options(data, panel, element.clientWidth, zoom, element.dataset.time, panel === data.panels[0]), [panel.time, ...spread(panel)], box);
    chart.over.addEventListener("dblclick", () => load(element, undefined, undefined, true));
    element.charts.push(chart);
  }
  element.append(table(data, element));
}

function span(address, fromUs, toUs) {
  address.searchParams.delete("span");
  for (const [name, value] of [["from", fromUs], ["to", toUs]]) {
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
}

async function load(element, fromUs, toUs, zoomed = false) {
  const address = new URL(element.dataset.chart, location.href);
  if (fromUs || zoomed) span(address, fromUs, toUs);
  if (zoomed && element.dataset.address) {
    // The picture stands in the address: a link shows a colleague the same.
    const page = new URL(location.href);
    span(page, fromUs, toUs);
    history.replaceState(history.state, "", page);
    element.dataset.chart = address;
    dispatchEvent(new CustomEvent("chart:address"));
  }
  // Only the last one asked for is shown, whichever answer comes first.
  const asked = element.asked = (element.asked ?? 0) + 1;
  element.dataset.state = "loading";
  try {
    const answer = await fetch(address, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(15000) });
    if (!answer.ok) throw new Error(answer.statusText);
    const data = await answer.json();
    if (!element.isConnected || asked !== element.asked) return;
    element.data = data;
    show(element, data);
    element.dataset.state = "drawn";
  } catch {
    if (asked !== element.asked) return;
    element.dataset.state = "failed";
    const p = document.createElement("p");
    p.className = "empty chart-off";
    p.textContent = element.dataset.failed;
    element.replaceChildren(p);
  }
}

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    for (const chart of target.charts ?? []) {
      if (Math.abs(chart.width - target.clientWidth) > 2) chart.setSize({ width: target.clientWidth, height: chart.height });
    }
  }
});

const holders = new Set();

// A chart hangs on the window and on the shared cursor: one whose place in the page is gone must
// be let go, or a page that is left open keeps every chart it has ever shown.
function sweep() {
  for (const element of holders) {
    if (element.isConnected) continue;
    for (const chart of element.charts ?? []) chart.destroy();
    resized.unobserve(element);
    holders.delete(element);
  }
}

/** Draw every chart under `root` that is not drawn yet, and let go those that have left the page. */
export function drawCharts(root) {
  if (!globalThis.uPlot) return;
  sweep();
  for (const element of root.querySelectorAll("[data-chart]:not([data-state])")) {
    holders.add(element);
    resized.observe(element);
    element.addEventListener("chart:again", () => load(element));
    load(element);
  }
}

// Also when the page goes to paper, which is never dark.
matchMedia("screen and (prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const element of document.querySelectorAll("[data-chart]")) if (element.data) show(element, element.data);
});
