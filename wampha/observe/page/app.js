// The status page: asks /status every two seconds and shows it. Whatever comes from there is put in as text, never as
// markup.
const POLL_MS = 2000;
const PATIENCE_MS = 6000;
const POINTS = 300; // ten minutes
const EVENTS_SHOWN = 60;
const STEPS = [1, 2, 5].flatMap((step) => Array.from({ length: 9 }, (_, power) => step * 10 ** power)).sort((a, b) => a - b);
const PALETTE = ["#6366f1", "#14b8a6", "#f59e0b", "#ec4899", "#3b82f6", "#84cc16", "#a855f7", "#ef4444"];
const LOSSES = [
  ["events_dropped_newest", "events not queued for slow clients"],
  ["events_dropped_oldest", "events taken out of slow clients' queues"],
  ["resumable_events_dropped", "events for clients that are away"],
  ["events_undeliverable", "events that a client could not be sent"],
  ["clients_cut_slow", "clients cut: too much waited for them"],
  ["clients_cut_crowded", "clients cut: too much waited for all"],
  ["clients_cut_silent", "clients cut: no answer to a ping"],
  ["link_frames_lost", "messages lost between nodes"],
  ["publishes_refused_silently", "publications refused"],
  ["requests_refused", "requests refused"],
  ["hello_refused", "sessions refused"],
  ["authentications_failed", "failed authentications"],
  ["authentications_throttled", "clients refused: too many failures"],
  ["protocol_violations", "clients that broke the protocol"],
  ["connections_refused_suspended", "connections refused: not serving"],
  ["connections_refused_full", "connections refused: no room"],
  ["calls_timed_out", "calls that timed out"],
  ["leases_lost", "suspensions of a node"],
  ["fences", "nodes fenced"],
  ["turns_long", "turns of the reactor above 100 ms"],
];
const DROPPED = ["events_dropped_newest", "events_dropped_oldest", "resumable_events_dropped", "events_undeliverable"];
const GONE = { down: "was declared dead", left: "left the cluster", succeeded: "was replaced by its next life" };
const STAGES = { serving: "serves", suspended: "is suspended", draining: "sends its clients away", leaving: "leaves", joining: "joins" };

const $ = (id) => document.getElementById(id);

// ---- elements and words

function element(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (key === "class") made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null).map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function count(value) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) < 10000 ? whole.format(value) : compact.format(value);
}

function rate(value) {
  if (value === null || value === undefined) return "–";
  return value > 0 && value < 10 ? value.toFixed(1) : count(value);
}

function bytes(value) {
  if (!value) return "0 B";
  const power = Math.min(4, Math.floor(Math.log2(value) / 10));
  const shown = value / 1024 ** power;
  return `${shown < 10 && power ? shown.toFixed(1) : Math.round(shown)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

function milliseconds(seconds) {
  if (seconds === null || seconds === undefined) return "up";
  const ms = seconds * 1000;
  if (ms < 0.1) return "< 0.1 ms";
  return `${ms < 1 ? ms.toFixed(2) : ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function duration(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
const sum = (values) => values.reduce((total, value) => total + (value || 0), 0);
const listed = (names) => names.join(names.length === 2 ? " and " : ", ");

// ---- what changes per second

const former = new Map(); // node -> its report before, and the rates since

function ratesOf(report) {
  const before = former.get(report.name);
  const fresh = { report, rates: null };
  if (before) {
    const seconds = report.uptime_s - before.report.uptime_s;
    if (report.started_s === before.report.started_s && seconds < 0.2) return before.rates; // the same report again
    if (report.started_s === before.report.started_s) {
      const names = new Set([...Object.keys(report.counters), ...Object.keys(before.report.counters)]);
      fresh.rates = { busy: (report.turns.total_s - before.report.turns.total_s) / seconds };
      for (const name of names) {
        fresh.rates[name] = ((report.counters[name] || 0) - (before.report.counters[name] || 0)) / seconds;
      }
    }
  }
  former.set(report.name, fresh);
  return fresh.rates;
}

const rateOf = (node, name) => (node.rates ? node.rates[name] || 0 : null);

function rateOfAll(nodes, name) {
  const known = nodes.map((node) => rateOf(node, name)).filter((value) => value !== null);
  return known.length ? sum(known) : null;
}

// ---- plots

const palette = new Map(); // node -> colour
function colourOf(name) {
  if (!palette.has(name)) palette.set(name, PALETTE[palette.size % PALETTE.length]);
  return palette.get(name);
}

class Plot {
  constructor(id, words) {
    this.place = $(id);
    this.words = words;
    this.times = [];
    this.series = new Map(); // label -> { colour, values }
    this.plot = null;
    this.place.setAttribute("role", "img");
    new ResizeObserver(() => this.plot && this.plot.setSize(this.size())).observe(this.place);
  }

  size() {
    return { width: Math.max(200, this.place.clientWidth), height: 160 };
  }

  add(time, values) {
    let anew = false;
    for (const [label, colour] of values.map(([name, , paint]) => [name, paint])) {
      if (!this.series.has(label)) {
        this.series.set(label, { colour, values: this.times.map(() => null) });
        anew = true;
      }
    }
    this.times.push(time);
    const now = new Map(values.map(([label, value]) => [label, value]));
    for (const [label, line] of this.series) line.values.push(now.has(label) ? now.get(label) : null);
    if (this.times.length > POINTS) {
      this.times.shift();
      for (const line of this.series.values()) line.values.shift();
    }
    for (const [label, line] of [...this.series]) {
      if (!now.has(label) && line.values.every((value) => value === null)) {
        this.series.delete(label);
        anew = true;
      }
    }
    this.place.setAttribute("aria-label", values.map(([label, value]) => `${label}: ${this.words(value)}`).join(", "));
    if (anew || !this.plot) this.draw();
    else this.plot.setData(this.data());
    this.point();
  }

  // Without a pointer in the plot the legend tells the last values.
  point() {
    if (this.plot.cursor.left === undefined || this.plot.cursor.left < 0) this.plot.setLegend({ idx: this.times.length - 1 });
  }

  data() {
    return [this.times, ...[...this.series.values()].map((line) => line.values)];
  }

  draw() {
    if (this.plot) this.plot.destroy();
    const style = getComputedStyle(document.documentElement);
    const soft = style.getPropertyValue("--soft").trim();
    const line = style.getPropertyValue("--line").trim();
    const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const lines = [...this.series];
    this.plot = new uPlot(
      {
        ...this.size(),
        padding: [8, 24, 0, 0],
        hooks: { setCursor: [() => this.plot && this.point()] },
        cursor: { drag: { x: false, y: false }, points: { size: 7 } },
        legend: { live: true, markers: { fill: (_, index) => (index ? lines[index - 1][1].colour : "") } },
        scales: { y: { range: (_, __, most) => [0, Math.max(4, (most || 0) * 1.15)] } },
        axes: [
          { ...axis, size: 26, space: 70, values: (_, times) => times.map((time) => clock(time * 1000)) },
          { ...axis, size: 52, incrs: STEPS, values: (_, values) => values.map((value) => this.words(value)) },
        ],
        series: [
          { label: "time", value: (_, time) => (time ? clock(time * 1000) : "") },
          ...lines.map(([label, { colour }]) => ({
            label,
            stroke: colour,
            width: 2,
            fill: lines.length === 1 ? `${colour}22` : undefined,
            points: { show: false },
            value: (_, value) => this.words(value),
          })),
        ],
      },
      this.data(),
      this.place,
    );
  }
}

const plots = {
  messages: new Plot("plot-messages", rate),
  sessions: new Plot("plot-sessions", count),
  lag: new Plot("plot-lag", count),
  busy: new Plot("plot-busy", (value) => (value === null || value === undefined ? "–" : `${Math.round(value)} %`)),
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const plot of Object.values(plots)) if (plot.plot) plot.draw();
});

function plot(nodes, atMs) {
  const time = atMs / 1000;
  const each = (value) => nodes.map((node) => [node.name, value(node), colourOf(node.name)]);
  plots.messages.add(time, [
    ["events", rateOfAll(nodes, "events_delivered"), PALETTE[0]],
    ["publications", rateOfAll(nodes, "publications"), PALETTE[1]],
    ["calls", rateOfAll(nodes, "calls"), PALETTE[2]],
  ]);
  plots.sessions.add(time, each((node) => node.sessions));
  plots.lag.add(time, each((node) => node.lag + node.barrier_lag));
  plots.busy.add(time, each((node) => (node.rates ? Math.max(0, Math.min(100, node.rates.busy * 100)) : null)));
}

// ---- the parts of the page

function verdict(overview, nodes, absent) {
  const ready = nodes.filter((node) => node.ready);
  const votes = overview.voters.length ? overview.voters : nodes.map((node) => node.name);
  const voting = ready.filter((node) => votes.includes(node.name));
  const all = nodes.length + absent.length;
  const troubled = [...nodes.filter((node) => !node.ready).map((node) => node.name), ...absent];
  let kind = "good";
  let words = all === 1 ? "This node is ready" : `All ${all} nodes are ready`;
  if (troubled.length) {
    kind = voting.length * 2 > votes.length ? "warn" : "bad";
    words = `${ready.length} of ${all} nodes are ready: look at ${listed(troubled)}`;
  } else if (overview.leader && nodes.length > 1) {
    words += ` · ${overview.leader} leads in term ${overview.term}`;
  }
  const place = $("verdict");
  place.className = `verdict ${kind}`;
  const span = place.lastElementChild;
  if (span.textContent !== words) span.textContent = words; // said aloud only when it changes
  document.title = `${kind === "good" ? "" : "⚠ "}${overview.cluster || overview.node} – wampha`;
}

function tile(name, value, unit) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value, unit ? element("small", {}, unit) : null));
}

function tiles(nodes, absent) {
  const dropped = nodes.some((node) => node.rates) ? sum(DROPPED.map((name) => rateOfAll(nodes, name))) : null;
  $("tiles").replaceChildren(
    tile("Nodes ready", nodes.filter((node) => node.ready).length, `of ${nodes.length + absent.length}`),
    tile("Sessions", count(sum(nodes.map((node) => node.sessions)))),
    tile("Events", rate(rateOfAll(nodes, "events_delivered")), "/ s"),
    tile("Publications", rate(rateOfAll(nodes, "publications")), "/ s"),
    tile("Calls", rate(rateOfAll(nodes, "calls")), "/ s"),
    tile("Dropped events", rate(dropped), "/ s"),
    tile("Slow clients", count(sum(nodes.map((node) => node.slow.clients)))),
  );
}

function fact(name, value) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value));
}

function badge(words, kind) {
  return element("span", { class: `badge ${kind}` }, words);
}

function card(node, overview) {
  const kind = node.ready ? "good" : node.serving ? "warn" : "bad";
  const leads = node.name === overview.leader && node.serving;
  const made = element(
    "article",
    { class: "node", "data-node": node.name },
    element("h3", {}, node.name, leads ? badge("leader", "leader") : null, badge(node.stage, kind), badge(node.role, "")),
    node.reasons.length ? element("p", { class: `reason ${kind}` }, node.reasons.join("; ")) : null,
    element(
      "dl",
      { class: "facts" },
      fact("Sessions", count(node.sessions)),
      fact("Events / s", rate(rateOf(node, "events_delivered"))),
      fact("Calls / s", rate(rateOf(node, "calls"))),
      fact("Term", count(node.term)),
      fact("Applied", count(node.applied)),
      fact("Behind", count(node.lag + node.barrier_lag)),
      fact("Memory", bytes(node.resident_bytes)),
      fact("Up for", duration(node.uptime_s)),
      fact("Version", node.version),
    ),
  );
  made.style.setProperty("--colour", colourOf(node.name));
  return made;
}

function silentCard(name, overview) {
  const known = overview.missing.includes(name);
  const words = known ? "it did not answer in time" : "it is no member of the cluster at the moment";
  return element(
    "article",
    { class: "node", "data-node": name },
    element("h3", {}, name, badge(known ? "silent" : "away", "bad")),
    element("p", { class: "reason bad" }, words),
  );
}

function links(nodes) {
  const names = [...new Set(nodes.flatMap((node) => [node.name, ...Object.keys(node.links)]))].sort();
  if (names.length < 2) {
    $("links").replaceChildren(element("p", { class: "none" }, "This node is on its own."));
    return;
  }
  const rows = nodes.map((node) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, node.name),
      ...names.map((name) => element("td", {}, ...link(node, name))),
    ),
  );
  $("links").replaceChildren(
    element(
      "table",
      {},
      element("caption", { class: "unseen" }, "Round trip, and what waits, from each node to each other"),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "from \\ to"), ...names.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, ...rows),
    ),
  );
}

function link(node, name) {
  const found = node.links[name];
  if (!found) return [element("span", { class: "none" }, "·")];
  if (!found.up) return [element("span", { class: "bad" }, "✕ down")];
  const waits = found.queue_bytes ? element("small", {}, ` ${bytes(found.queue_bytes)} wait`) : null;
  return [element("span", { class: found.behind ? "warn" : "good" }, milliseconds(found.round_trip_s)), waits].filter(Boolean);
}

function losses(nodes) {
  const found = LOSSES.map(([name, words]) => [words, sum(nodes.map((node) => node.counters[name])), rateOfAll(nodes, name)]);
  const rows = found.filter(([, total]) => total);
  if (!rows.length) {
    $("losses").replaceChildren(element("p", { class: "none" }, "Nothing since the nodes were started."));
    return;
  }
  $("losses").replaceChildren(
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "what"), element("th", { scope: "col", class: "number" }, "in all"), element("th", { scope: "col", class: "number" }, "per second"))),
      element("tbody", {}, ...rows.map(([words, total, now]) =>
        element("tr", {}, element("th", { scope: "row" }, words), element("td", { class: "number" }, count(total)), element("td", { class: `number ${now ? "warn" : "none"}` }, rate(now))))),
    ),
  );
}

function slow(nodes) {
  const some = nodes.filter((node) => node.slow.clients);
  if (!some.length) {
    $("slow").replaceChildren(element("p", { class: "none" }, "Every client reads what it is sent."));
    return;
  }
  $("slow").replaceChildren(
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "node"), element("th", { scope: "col", class: "number" }, "clients"), element("th", { scope: "col", class: "number" }, "wait for all"), element("th", { scope: "col", class: "number" }, "for the slowest"))),
      element("tbody", {}, ...some.map((node) =>
        element("tr", {}, element("th", { scope: "row" }, node.name), element("td", { class: "number warn" }, count(node.slow.clients)), element("td", { class: "number" }, bytes(node.slow.bytes)), element("td", { class: "number" }, bytes(node.slow.largest_bytes[0]))))),
    ),
  );
}

function told(event, node) {
  if (event.kind === "leader") return { key: `leader ${event.name} ${event.term}`, election: true, words: `${event.name} was elected in term ${event.term}` };
  if (event.kind === "up") return { key: `up ${event.name}`, words: `${event.name} came up` };
  if (event.kind === "gone") return { key: `gone ${event.name}`, words: `${event.name} ${GONE[event.reason] || event.reason}` };
  if (event.kind === "fenced") return { key: `fenced ${node}`, words: `${node} was fenced: ${event.reason}` };
  return { key: `stage ${node} ${event.stage}`, words: `${node} ${STAGES[event.stage] || event.stage}` };
}

// Most is told by every node: the same within a few seconds is one event.
function events(nodes) {
  const all = nodes.flatMap((node) => node.events.map((event) => ({ at: event.at_ms, ...told(event, node.name) })));
  const seen = new Map();
  const lines = [];
  for (const event of all.sort((one, other) => one.at - other.at)) {
    if (event.at - (seen.get(event.key) ?? -Infinity) > 5000 && !(event.election && seen.has(event.key))) lines.push(event);
    seen.set(event.key, event.at);
  }
  const shown = lines.reverse().slice(0, EVENTS_SHOWN);
  const list = element("ol", { class: "log", tabindex: "0", "aria-label": "Events, newest first" }, ...shown.map((event) =>
    element("li", { class: event.election ? "election" : undefined }, element("time", { datetime: new Date(event.at).toISOString() }, clock(event.at)), element("span", {}, event.words))));
  if (list.textContent !== $("events").textContent) $("events").replaceChildren(list); // keeps the place where it is read
}

function show(overview) {
  const nodes = overview.nodes.map((report) => ({ ...report, rates: ratesOf(report) }));
  const names = nodes.map((node) => node.name);
  const absent = [...new Set([...overview.voters, ...overview.missing])].filter((name) => !names.includes(name)).sort();
  for (const name of [...overview.voters, ...names]) colourOf(name);
  $("cluster").textContent = overview.cluster ? `cluster ${overview.cluster}` : `node ${overview.node}, on its own`;
  verdict(overview, nodes, absent);
  tiles(nodes, absent);
  plot(nodes, overview.at_ms);
  $("nodes").replaceChildren(...nodes.map((node) => card(node, overview)), ...absent.map((name) => silentCard(name, overview)));
  links(nodes);
  losses(nodes);
  slow(nodes);
  events(nodes);
  $("seen").textContent = `As node ${overview.node} sees it, at ${clock(overview.at_ms)}${overview.partial ? `; no answer from ${listed(overview.missing)}` : ""}. Version ${overview.version}.`;
}

// ---- asking

let answeredAt = Date.now();

async function poll() {
  const banner = $("banner");
  try {
    const answer = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const overview = await answer.json();
    answeredAt = Date.now();
    banner.hidden = true;
    show(overview);
  } catch (error) {
    console.warn("no status:", error);
    banner.textContent = `The node that serves this page has not answered for ${duration((Date.now() - answeredAt) / 1000)}. What is shown is old; another node's page may know more.`;
    banner.hidden = false;
    $("verdict").className = "verdict bad";
    $("verdict").lastElementChild.textContent = "No answer";
  }
  setTimeout(poll, POLL_MS);
}

poll();
