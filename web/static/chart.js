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

// A chart's seconds are local wall-clock seconds of the site: show them as they are.
const wall = (seconds) => {
  const d = new Date(seconds * 1000);
  return new Date(d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate(), d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds());
};
// Where a device has no value of its own stands `undefined` (joined), where it missed one `null`.
const spread = (panel) => panel.lines.map((line) => {
  const values = new Array(panel.time.length);
  line.at.forEach((place, i) => { values[place] = line.mean[i]; });
  return values;
});
const two = (n) => String(n).padStart(2, "0");
const stamp = (seconds) => {
  const d = wall(seconds);
  return `${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}`;
};

// Truth, labels and look-alikes as bands, what the machine raised as marks: under the lines.
const BANDS = { truth: "--band-truth", label: "--band-label", benign: "--band-benign" };

function bands(u, data) {
  const { ctx, bbox } = u;
  for (const band of data.bands ?? []) {
    const [from, to] = [band.from, band.to].map((x) => u.valToPos(x, "x", true));
    ctx.fillStyle = css(BANDS[band.kind]);
    ctx.fillRect(from, bbox.top, Math.max(to - from, 2), bbox.height);
  }
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
    if (data.band) {
      const [from, to] = data.band.map((x) => u.valToPos(x, "x", true));
      ctx.fillStyle = css("--band");
      ctx.fillRect(from, bbox.top, Math.max(to - from, 2), bbox.height);
    }
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
      ctx.fillText(`${limit.label} ${limit.value} ${panel.unit}`, bbox.left + 6, y - 4 * devicePixelRatio);
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

function options(data, panel, width, zoom, time, first) {
  const axis = { stroke: css("--ink-2"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line-2"), width: 1 }, font: `11px ${css("--font")}` };
  return {
    width,
    height: first ? 270 : 150,
    tzDate: wall,
    cursor: { sync: { key: "readings" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
    scales: { x: { time: true, range: () => [data.from, data.to] } },
    axes: [
      { ...axis, values: [
        [86400, "{MM}-{DD}", null, null, null, null, null, null, 1],
        [3600, "{HH}:{mm}", "\n{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
        [60, "{HH}:{mm}", "\n{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
        [1, "{HH}:{mm}:{ss}", "\n{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
      ] },
      { ...axis, size: 58, values: (u, ticks) => ticks.map((v) => `${v} ${panel.unit}`) },
    ],
    series: [
      { label: time, value: (u, v) => (v == null ? "–" : stamp(v)) },
      ...panel.lines.map((line) => {
        const [colour, dash] = LOOKS[line.look] ?? LOOKS["own-1"];
        return {
          label: line.label, stroke: css(colour), dash, width: line.look === "peer" ? 1 : 1.75,
          points: { show: line.at.length < 60, size: 4 }, spanGaps: false,
          value: (u, v) => (v == null ? "–" : `${v} ${panel.unit}`),
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
  element.dataset.state = "loading";
  try {
    const answer = await fetch(address, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(15000) });
    if (!answer.ok) throw new Error(answer.statusText);
    element.data = await answer.json();
    show(element, element.data);
    element.dataset.state = "drawn";
  } catch {
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

/** Draw every chart under `root` that is not drawn yet. */
export function drawCharts(root) {
  if (!globalThis.uPlot) return;
  for (const element of root.querySelectorAll("[data-chart]:not([data-state])")) {
    resized.observe(element);
    element.addEventListener("chart:again", () => load(element));
    load(element);
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const element of document.querySelectorAll("[data-chart]")) if (element.data) show(element, element.data);
});
