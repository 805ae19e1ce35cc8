"use strict";
/* A page that is served: its rows come by fetch, and what happens to them by server-sent events, from where the page is. Above the rows, how it goes.
   A page that nobody sees lets go of its stream, because a browser has few connections to one server, and takes it up again where it was. */
const live = (page) => {
  const { h, $, number, plural, seconds, usd, text } = page;
  const PAGE_ROWS = 500, SILENCE_MS = 25000, FIRST_MS = 500, LONGEST_MS = 8000, WINDOW_S = 60;
  const homes = new WeakMap(); // of which row a file is
  let stream = null, place = "", pause = FIRST_MS, timer = 0, silence = 0, skew = 0, run = page.head.run, isLost = false, part = null, asked = 0;

  // -- the stream

  function hush() { clearTimeout(timer); clearTimeout(silence); if (stream) stream.close(); stream = null; }
  function listen() { clearTimeout(silence); silence = setTimeout(lose, SILENCE_MS); }
  function lose() {
    hush();
    isLost = true;
    tellHow();
    timer = setTimeout(connect, pause * (0.8 + Math.random() * 0.4));
    pause = Math.min(LONGEST_MS, pause * 2);
  }
  async function connect() {
    hush();
    if (document.hidden || !place) return;
    if (isLost) {
      const answer = await fetch("rows?limit=0", { cache: "no-store" }).catch(() => null);
      if (answer?.status === 401) { page.notice("batcher serves this page anew and asks for its new token: open the address that it printed."); return; }
      if (!answer?.ok) { lose(); return; }
    }
    stream = new EventSource(`changes?after=${encodeURIComponent(place)}`);
    stream.onopen = () => { isLost = false; pause = FIRST_MS; listen(); tellHow(); };
    stream.onerror = lose;
    stream.addEventListener("beat", listen);
    stream.addEventListener("change", (event) => { listen(); place = event.lastEventId; take(JSON.parse(event.data)); });
    stream.addEventListener("reset", (event) => { take(JSON.parse(event.data)); hush(); place = ""; page.again(); }); // other rows than those that are shown
    listen();
  }
  function take(told) {
    run = told.run; skew = told.now - Date.now() / 1000;
    const rows = part ? (told.rows || []).filter((row) => row.row > part.from && row.row <= part.to) : [];
    page.receive({ rows, report: told.report });
    page.notice(run.trouble ? `The batch cannot be read just now: ${run.trouble}` : "");
    soon();
  }
  document.addEventListener("visibilitychange", () => { if (document.hidden) timer = setTimeout(() => { if (document.hidden) hush(); }, 5000); else if (!stream) connect(); });

  // -- how it goes: in words, and in charts that are drawn once a second at most

  const now = () => Date.now() / 1000 + skew;
  let drawing = 0;
  function soon() { tellHow(); if (!drawing) drawing = setTimeout(() => { drawing = 0; draw(); }, 1000); }
  const STATES = ["done", "failed", "in_doubt", "cancelled", "open"];
  const HOW = { waiting: "Waiting for the run", running: "Running", ended: "The run has ended", killed: "The run was killed" };
  function tellHow() {
    const report = page.report(), { counts } = report, over = report.rows - counts.open, rate = perMinute(), left = counts.open && rate ? (counts.open / rate) * 60 : null;
    const isOn = run.state === "running" && !isLost;
    $("live").dataset.state = isLost ? "lost" : run.state;
    const how = isLost ? "Nobody answers. Trying again…" : HOW[run.state];
    if ($("how").textContent !== how) $("how").textContent = how;
    $("pace").textContent = [report.rows && `${number(over)} of ${plural(report.rows, "row")}`, isOn && rate && `${number(Math.round(rate))} a minute`, isOn && left !== null && `about ${seconds(left)} left`, run.state === "killed" && counts.open && "batcher resume DIR goes on", isLost && "batcher serve DIR brings this page back to life", unsent.size && `${plural(unsent.size, "mark")} not in the ledger yet`].filter(Boolean).join(" · ");
    $("stack").replaceChildren(...STATES.filter((state) => counts[state]).map((state) => { const made = h("span", { className: state }); made.style.flex = String(counts[state]); return made; }));
    $("stack").setAttribute("aria-label", STATES.filter((state) => counts[state]).map((state) => `${number(counts[state])} ${page.WORDS[state].toLowerCase()}`).join(", ") || "no rows yet");
    document.querySelector("h1").textContent = report.name || "batch";
    document.title = `${run.state === "running" && report.rows ? `${Math.floor((100 * over) / report.rows)} % · ` : ""}${report.name} · batcher`;
  }
  const began = () => run.started_at ?? now();
  const until = () => Math.max(began() + 1, run.ended_at ?? (run.state === "killed" ? Math.max(began(), ...ends()) : now()));
  const ends = () => page.rows().map(page.endOf).filter((end) => end !== null && end >= began());
  function perMinute() {
    const to = until(), from = Math.max(began(), to - WINDOW_S);
    return (60 * ends().filter((end) => end > from && end <= to).length) / Math.max(1, to - from);
  }

  const W = 330, H = 128, L = 34, T = 8, B = 18;
  const x = (t) => L + ((W - L) * (t - began())) / (until() - began());
  const y = (value, most) => H - B - ((H - B - T) * value) / most;
  function frame(label, most, ...inner) {
    const made = page.chart(W, H, L, B, ...[0.5, 1].map((each) => h("line", { class: "grid-line", x1: L, x2: W, y1: y(each, 1), y2: y(each, 1) })), ...inner, most && text(L - 6, y(1, 1) + 4, most, "end"), text(L, H - 4, clock(began())), text(W, H - 4, run.state === "running" ? "now" : clock(until()), "end"));
    made.setAttribute("aria-label", label);
    return made;
  }
  const clock = (t) => new Date(t * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(until() - began() < 600 ? { second: "2-digit" } : {}) });
  const path = (points) => points.map(([px, py], n) => `${n ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
  const nice = (value) => { const unit = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9))); return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((each) => each * unit >= value * 0.999) * unit; };

  function throughput() {
    const bins = 44, piles = new Array(bins).fill(0), span = until() - began();
    for (const end of ends()) piles[Math.min(bins - 1, Math.max(0, Math.floor(((end - began()) / span) * bins)))] += 1;
    const rates = piles.map((n) => (n * bins * 60) / span), most = nice(Math.max(...rates, 1)), wide = (W - L) / bins, total = ends().length;
    const now = number(Math.round(run.state === "running" ? perMinute() : (60 * total) / span));
    return ["Throughput", `${now} rows a minute`, frame(`Rows that ended a minute, ${number(most)} at most`, number(most), ...rates.map((rate, n) => rate && h("rect", { class: "pile", x: L + n * wide + 0.7, width: wide - 1.4, y: y(rate, most), height: H - B - y(rate, most), rx: 1.5 }, h("title", {}, plural(piles[n], "row")))))];
  }
  function states() {
    const bins = 96, report = page.report(), layers = ["done", "bad", "busy"], counts = layers.map(() => new Array(bins + 1).fill(0)), start = began(), span = until() - start, before = [0, 0, 0];
    const at = (t) => Math.min(bins, Math.max(0, Math.ceil(((t - start) / span) * bins)));
    for (const row of page.rows()) {
      const state = page.stateOf(row), end = page.endOf(row), begin = row.submitted_at === null ? null : Date.parse(row.submitted_at) / 1000;
      const layer = state === "done" ? 0 : state === "open" ? null : 1;
      if (begin !== null) { counts[2][at(begin)] += 1; if (end !== null) counts[2][at(end)] -= 1; }
      if (layer !== null) counts[layer][end === null ? 0 : at(end)] += 1;
    }
    const sums = counts.map((each) => { let sum = 0; return each.map((n) => (sum += n)); }), most = Math.max(1, page.rows().length);
    const px = (n) => L + ((W - L) * n) / bins, base = new Array(bins + 1).fill(0), areas = [];
    for (const [n, name] of layers.entries()) {
      const low = base.map((value, at) => [px(at), y(value, most)]).reverse();
      for (let at = 0; at <= bins; at += 1) base[at] += Math.max(0, sums[n][at]);
      areas.push(h("path", { class: `layer ${name}`, d: `${path(base.map((value, at) => [px(at), y(Math.min(value, most), most)]))}L${path(low).slice(1)}Z` }));
    }
    const busy = Math.max(0, sums[2][bins]);
    const { done, open } = report.counts, otherwise = report.rows - done - open, key = (name, words) => h("span", { className: name, text: words });
    return ["States", h("span", { className: "key" }, key("done", `${number(done)} done`), otherwise && key("bad", `${number(otherwise)} not`), busy && key("busy", `${number(busy)} under way`)), frame(`Rows over time: ${number(done)} done, ${number(otherwise)} ended otherwise, ${number(open)} open`, number(most), ...areas)];
  }
  function latency() {
    const models = new Map();
    for (const row of page.rows()) { const took = row.state === "done" ? page.serviceTimeOf(row) : null; if (took !== null) { if (!models.has(row.model)) models.set(row.model, []); models.get(row.model).push(took); } }
    const found = [...models].sort((a, b) => b[1].length - a[1].length).slice(0, 3);
    const sorted = found.map(([model, times]) => [model, times.sort((a, b) => a - b)]);
    const rank = (times, share) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
    const top = nice(Math.max(...sorted.map(([, times]) => rank(times, 0.98)), 0.01)), bins = 36, tall = (H - B) / Math.max(1, sorted.length);
    const made = page.chart(W, H, 0, B, ...sorted.flatMap(([model, times], n) => {
      const piles = new Array(bins).fill(0), floor = tall * (n + 1);
      for (const time of times) piles[Math.min(bins - 1, Math.floor((time / top) * bins))] += 1;
      const most = Math.max(...piles), high = tall - 20, half = rank(times, 0.5);
      const edge = piles.flatMap((pile, at) => [[(W * at) / bins, floor - (high * pile) / most], [(W * (at + 1)) / bins, floor - (high * pile) / most]]);
      return [h("path", { class: `model m${n}`, d: `M0 ${floor}L${path(edge).slice(1)}L${W} ${floor}Z` }), h("line", { class: "half", x1: (W * Math.min(half, top)) / top, x2: (W * Math.min(half, top)) / top, y1: floor - high, y2: floor }), text(0, floor - tall + 12, page.shortModel(model)), text(W, floor - tall + 12, `half within ${seconds(half)}`, "end")];
    }), text(0, H - 4, "0"), text(W, H - 4, seconds(top), "end"));
    made.setAttribute("aria-label", sorted.map(([model, times]) => `${model}: half of ${number(times.length)} within ${seconds(rank(times, 0.5))}`).join("; ") || "No row is done yet");
    return ["Latency", "from submit to result", made];
  }
  function spend() {
    const report = page.report(), start = began(), paid = page.rows().filter((row) => row.cost_usd).map((row) => [Math.max(start, page.endOf(row) ?? Date.parse(row.submitted_at) / 1000 + (page.serviceTimeOf(row) || 0)), row.cost_usd]).sort((a, b) => a[0] - b[0]);
    const settled = page.rows().filter((row) => row.cost_usd !== null || page.stateOf(row) !== "open").length;
    const likely = run.state === "running" && settled ? (report.cost_usd / settled) * page.rows().length : null;
    const most = nice(Math.max(report.cost_usd, likely || 0, 0.01)), step = Math.max(1, Math.floor(paid.length / 200)), points = [[L, y(0, most)]];
    let sum = 0;
    for (const [n, [t, cost]] of paid.entries()) { sum += cost; if (n % step === 0 || n === paid.length - 1) { const px = x(Math.min(t, until())); points.push([px, points.at(-1)[1]], [px, y(Math.min(sum, most), most)]); } }
    points.push([W, points.at(-1)[1]]);
    return ["Spend", `${usd(report.cost_usd)}${likely && report.counts.open ? ` · about ${usd(Math.max(0.01, likely))} in all` : ""}`,
      frame(`Spent ${usd(report.cost_usd)}`, usd(most), h("path", { class: "area", d: `${path(points)}L${W} ${H - B}L${L} ${H - B}Z` }), h("path", { class: "edge", d: path(points) }), likely && h("line", { class: "limit", x1: L, x2: W, y1: y(likely, most), y2: y(likely, most) }, h("title", {}, `about ${usd(likely)} in all`)))];
  }
  function draw() {
    tellHow();
    page.choices();
    if (!$("charts").hidden && !document.hidden) $("charts").replaceChildren(...[throughput, states, latency, spend].map((each) => { const [title, figure, drawn] = each(); return h("figure", { className: "chart" }, h("figcaption", {}, h("b", { text: title }), h("span", {}, figure)), drawn); }));
    if (run.state === "running") { clearTimeout(drawing); drawing = setTimeout(() => { drawing = 0; draw(); }, 2000); } // time goes on where nothing happens
  }
  function fold(to, keep) {
    $("charts").hidden = to;
    $("fold").textContent = to ? "Show charts" : "Hide charts"; $("fold").setAttribute("aria-expanded", String(!to));
    if (!to) draw();
    if (keep) try { localStorage.setItem("batcher/charts", to ? "folded" : ""); } catch { /* for this visit only, then */ }
  }
  $("fold").addEventListener("click", () => fold(!$("charts").hidden, true));
  let folded = false;
  try { folded = localStorage.getItem("batcher/charts") === "folded"; } catch { /* as ever */ }
  setTimeout(() => fold(folded, false));

  // -- marks go into the ledger; while another process runs the batch they wait here, and in this browser

  const unsent = new Map();
  let sending = 0;
  document.addEventListener("batcher:review", ({ detail }) => {
    const row = page.row(detail.id), { mark, note = "", at = new Date().toISOString() } = detail;
    if (row && row.state === "done" && row.files.length) unsent.set(row.id, { id: row.id, mark: mark || "none", note: note.slice(0, 2000), sha256: row.files[0].sha256, request_id: row.request_id, at });
    sendSoon(300);
  });
  function sendSoon(after) { clearTimeout(sending); sending = setTimeout(send, after); }
  async function send() {
    const marks = [...unsent.values()].slice(0, 100);
    if (!marks.length) { tellHow(); return; }
    const answer = await fetch("review", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ marks }) }).catch(() => null);
    if (answer?.ok || answer?.status === 422) for (const mark of marks) if (unsent.get(mark.id) === mark) unsent.delete(mark.id);
    tellHow();
    if (unsent.size) sendSoon(answer?.ok ? 100 : 5000);
  }

  // -- what the summary says of timings and failures, as far as rows are loaded

  function account() {
    const report = page.report(), timings = {}, kinds = new Map();
    const spread = (all) => { all.sort((a, b) => a - b); const rank = (percent) => all[Math.ceil((percent * all.length) / 100) - 1]; return { p50: rank(50), p95: rank(95), max: all.at(-1) }; };
    const done = page.rows().filter((row) => row.state === "done");
    for (const name of ["queued_s", "running_s", "download_s"]) { const all = done.map((row) => row.timings[name]).filter((each) => each !== null); if (all.length) timings[name] = spread(all); }
    for (const row of page.rows()) if (row.failure && !["done", "open"].includes(page.stateOf(row))) { if (!kinds.has(row.failure.kind)) kinds.set(row.failure.kind, { kind: row.failure.kind, rows: 0, examples: [] }); const group = kinds.get(row.failure.kind); group.rows += 1; if (group.examples.length < 3) group.examples.push({ id: row.id, ...row.failure }); }
    const unknown = page.rows().filter((row) => row.attempts && row.cost_usd === null && page.stateOf(row) !== "open").length;
    return { ...report, timings, failures: [...kinds.values()].sort((a, b) => b.rows - a.rows), cost_unknown_rows: unknown };
  }

  return {
    patience_ms: 1000,
    empty: "No rows yet. They appear here when the batch is run.",
    parts() { const rows = page.report().rows, parts = []; for (let from = 0; from < rows; from += page.head.part_rows) parts.push({ from, to: from + page.head.part_rows < rows ? from + page.head.part_rows : Infinity, rows: Math.min(page.head.part_rows, rows - from) }); return parts; },
    async load(wanted) {
      const mine = (asked += 1);
      hush();
      part = wanted || { from: 0, to: Infinity }; // before there is a plan
      let after = part.from, first = "";
      while (after < part.to) {
        const answer = await fetch(`rows?after=${after}&limit=${PAGE_ROWS}`, { cache: "no-store" }).then((found) => (found.ok ? found.json() : null)).catch(() => null);
        if (mine !== asked) return;
        if (!answer) { isLost = true; break; }
        first = first || answer.place;
        const rows = answer.rows.filter((row) => row.row <= part.to);
        page.receive({ rows });
        if (!answer.rows.length) break;
        after = answer.rows.at(-1).row;
      }
      place = first || ".0";
      if (isLost) lose(); else connect();
      draw();
    },
    meet(row) { for (const file of [...row.files, ...row.input_files]) homes.set(file, row.id); },
    version: (file) => `?v=${encodeURIComponent(file.sha256.slice(0, 12))}`,
    whose: (file) => `?row=${encodeURIComponent(homes.get(file) ?? "")}`,
    when: () => (run.state === "running" ? "live" : run.ended_at ? new Date(run.ended_at * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "not run yet"),
    account,
  };
};
