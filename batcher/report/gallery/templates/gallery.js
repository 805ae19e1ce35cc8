"use strict";
/* The page of a batch. Rows come through `batcher.receive`, from chunks beside the page or from whoever serves it, and are what results.jsonl holds.
   Everything that a manifest or a server wrote is text: elements are made by `h`, which knows no markup. */
const batcher = (() => {
  const CARD_PX = 248, GAP_PX = 16, WORDS_PX = 104, AHEAD_PX = 700;
  const WORDS = { done: "Done", failed: "Failed", in_doubt: "In doubt", cancelled: "Cancelled", open: "Open" };
  const MARKS = { accept: ["✓", "Accept", "accepted"], reject: ["✕", "Reject", "rejected"], redo: ["↻", "Redo", "to redo"] };
  const nonce = document.currentScript.nonce;
  const head = JSON.parse(document.getElementById("head").textContent);
  const $ = (id) => document.getElementById(id);

  // -- elements

  function h(name, facts = {}, ...children) {
    const svg = ["svg", "path", "line", "rect", "text", "title", "g"].includes(name) && facts.svg !== false;
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(facts)) {
      if (value === undefined || value === null || value === false) continue;
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (key === "text") made.textContent = value;
      else if (key in made && !svg && !key.includes("-")) made[key] = value;
      else made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false && child !== 0 && child !== ""));
    return made;
  }
  const say = (text) => { $("said").textContent = text; };
  const notice = (text) => { $("notice").textContent = text; $("notice").hidden = !text; };

  // -- facts of a row

  const stateOf = (row) => (row.state in WORDS ? row.state : "open");
  const costOf = (row) => row.cost_usd;
  const timeOf = (row) => { const { queued_s: q, running_s: r, download_s: d } = row.timings; return q === null && r === null && d === null ? null : (q || 0) + (r || 0) + (d || 0); };
  const endOf = (row) => { // when it ended; a page on a disk works it out
    if (row.ended_at !== undefined) return row.ended_at === null ? null : Date.parse(row.ended_at) / 1000;
    return row.submitted_at === null || stateOf(row) === "open" ? null : Date.parse(row.submitted_at) / 1000 + (timeOf(row) || 0);
  };
  const serviceTimeOf = (row) => { const { queued_s: q, running_s: r } = row.timings; return r === null ? null : (q || 0) + r; };
  const seedOf = (row) => row.body.seed ?? row.inputs.seed ?? null;
  function promptOf(row) {
    for (const each of [row.body, row.inputs]) for (const key of ["prompt", "text", "instruction"]) if (typeof each[key] === "string") return each[key];
    return Object.values(row.body).filter((value) => typeof value === "string").sort((a, b) => b.length - a.length)[0] || "";
  }
  const isPicture = (file) => file.media_type.startsWith("image/");
  const isFilm = (file) => file.media_type.startsWith("video/");
  const inputOf = (row) => row.input_files.find(isPicture) || null;
  const baseName = (path) => path.split(/[\\/]/).pop();
  const shortModel = (model) => model.split("/").slice(1).join("/") || model;
  const usd = (value) => (value === null || value === undefined ? "cost not known" : `$${value.toFixed(value && Math.abs(value) < 0.1 ? 4 : 2).replace(/(\.\d\d\d*?)0+$/, "$1")}`);
  const seconds = (s) => (s === null || s === undefined ? "–" : s < 10 ? `${s.toFixed(1)} s` : s < 120 ? `${Math.round(s)} s` : s < 7200 ? `${Math.floor(s / 60)} min ${Math.round(s % 60)} s` : `${(s / 3600).toFixed(1)} h`);
  const bytes = (n) => (n < 1e6 ? `${Math.max(1, Math.round(n / 1e3))} kB` : `${(n / 1e6).toFixed(1)} MB`);
  const number = (n) => n.toLocaleString("en-US");
  const plural = (n, word) => `${number(n)} ${word}${n === 1 ? "" : "s"}`;
  const spoken = (word) => word.replaceAll("_", " ");
  const moment = (iso) => new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const asText = (value) => (typeof value === "string" ? value : value && typeof value === "object" ? JSON.stringify(value) : String(value));

  function fieldsOf(row) {
    const found = new Map();
    const put = (key, value) => { if (value !== null && value !== undefined && !(value && typeof value === "object" && "$input" in value)) found.set(key, asText(value)); };
    for (const [key, value] of Object.entries(row.body)) put(key, value);
    for (const [key, value] of Object.entries(row.inputs)) put(key, value);
    for (const [key, value] of Object.entries(row.axes)) put(`${key} (axis)`, value);
    put("id", row.id); put("job", row.job); put("attempts", row.attempts); put("request id", row.request_id);
    if (row.failure) put("failure", row.failure.kind);
    return found;
  }
  function haystack(row) {
    const parts = [row.model, row.state, row.failure ? `${row.failure.kind} ${row.failure.message} ${row.failure.remedy}` : "", ...row.files.map((file) => file.path)];
    return [...parts, ...fieldsOf(row).values()].join("\n").toLowerCase();
  }

  // -- addresses, always relative to the page

  const address = (file) => file.path.split("/").map(encodeURIComponent).join("/") + source.version(file);
  const little = (file, size) => `${head.thumbnails}${encodeURIComponent(file.sha256.slice(0, 2))}/${encodeURIComponent(file.sha256)}${size}.webp${source.whose(file)}`;
  const small = (file) => little(file, "");
  const large = (file) => little(file, "-large");

  /* A picture that takes the next of its sources where one is missing, and says so where none is left. */
  function image(sources, alt, facts = {}) {
    let at = 0;
    const made = h("img", { alt, decoding: "async", draggable: false, ...facts });
    made.addEventListener("error", () => {
      at += 1;
      if (at < sources.length) made.src = sources[at];
      else { made.hidden = true; made.dispatchEvent(new CustomEvent("lost", { bubbles: true })); }
    });
    made.src = sources[0];
    return made;
  }
  const SHOWN = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/avif", "image/bmp"];
  const resultSources = (file) => (SHOWN.includes(file.media_type) ? [address(file), small(file)] : [large(file), small(file)]);
  const cardSources = (file) => (SHOWN.includes(file.media_type) ? [small(file), address(file)] : [small(file)]);

  // -- what is known

  let rows = [], byId = new Map(), shown = [], report = head.report;
  const hay = new WeakMap();
  const wish = { state: "", model: "", review: "", field: "", value: "", search: "", sort: "row", up: true };
  let view = "cards", chosen = null, staged = null, pending = false;

  function receive({ rows: more = [], report: account, reviews: kept }) {
    for (const row of more) {
      source.meet(row);
      const at = byId.get(row.id);
      if (at === undefined) { byId.set(row.id, rows.length); rows.push(row); } else rows[at] = row;
    }
    if (account) report = account;
    if (kept) for (const [id, mark] of Object.entries(kept)) if (mark) reviews[id] = mark; else delete reviews[id];
    later();
  }
  function later() {
    if (pending) return;
    pending = true;
    const now = () => { pending = false; refresh(); };
    if (loading || view === "cards") requestAnimationFrame(now); else setTimeout(now, source.patience_ms);
  }

  // -- reviews: kept in this browser, for the very result that was looked at

  const shelf = `batcher/review/${head.report.name}/${head.report.started_at}`;
  let reviews = Object.create(null);
  try { Object.assign(reviews, JSON.parse(localStorage.getItem(shelf) || "{}")); } catch { /* a browser that keeps nothing */ }
  const digestOf = (row) => (row.files.length ? row.files[0].sha256 : "");
  const VERDICTS = { accepted: "accept", rejected: "reject", redo: "redo" };
  function ownReview(row) {
    const mark = Object.hasOwn(reviews, row.id) ? reviews[row.id] : null;
    return mark && mark.sha256 === digestOf(row) && !(row.review && row.review.at > mark.at) ? mark : null;
  }
  /* The newer of the mark that this browser has and the one that the ledger had when the page was written. */
  function reviewOf(row) {
    const kept = row.review && { mark: VERDICTS[row.review.verdict], note: row.review.note, sha256: digestOf(row), at: row.review.at };
    const mark = ownReview(row) || kept;
    return mark && mark.mark in MARKS ? mark : null;
  }

  function review(row, mark, note = "") {
    if (mark) reviews[row.id] = { mark, note, sha256: digestOf(row), request_id: row.request_id, at: new Date().toISOString() };
    else if (row.review) reviews[row.id] = { mark: "none", note: "", sha256: digestOf(row), request_id: row.request_id, at: new Date().toISOString() };
    else delete reviews[row.id];
    try { localStorage.setItem(shelf, JSON.stringify(reviews)); } catch { notice("This browser keeps no marks: save the review before you leave the page."); }
    document.dispatchEvent(new CustomEvent("batcher:review", { detail: { id: row.id, ...(mark ? reviews[row.id] : { mark: null }) } }));
    say(mark ? `${row.id}: ${MARKS[mark][2]}` : `${row.id}: no mark`);
    paint();
    countReviews();
  }
  /* The marks that count, and those that were taken away here, in the order of the rows; those of a part that is not shown come last. */
  function marked() {
    const found = [];
    for (const row of rows) { const mark = ownReview(row) || reviewOf(row); if (mark) found.push([row.row, row.id, { request_id: row.request_id, ...mark }]); }
    if (parts.length > 1) for (const [id, mark] of Object.entries(reviews)) if (!byId.has(id)) found.push([Infinity, id, mark]);
    return found.sort((a, b) => (a[0] === b[0] ? 0 : a[0] - b[0]));
  }
  function countReviews() {
    const all = marked(), n = all.filter(([, , mark]) => mark.mark in MARKS).length;
    $("save").disabled = !all.length;
    $("save").textContent = n ? `Save review (${number(n)})` : "Save review";
  }
  const FORMULA = /(^|[;\t\r\n])(?=[\s"']*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n])/g;
  const csvCell = (text) => { const safe = String(text ?? "").replaceAll("\0", "").replace(FORMULA, "$1'"); return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe; };
  function reviewTable() {
    const lines = [["id", "mark", "note", "sha256", "request_id", "reviewed_at"]];
    for (const [, id, mark] of marked()) lines.push([id, mark.mark, mark.note, mark.sha256, mark.request_id, mark.at]);
    return "\ufeff" + lines.map((line) => line.map(csvCell).join(",") + "\r\n").join("");
  }
  function save() {
    const link = h("a", { href: URL.createObjectURL(new Blob([reviewTable()], { type: "text/csv" })), download: "review.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say("review.csv is saved");
  }
  function act(mark) {
    const row = staged || chosen;
    if (!row) return;
    if (mark === "redo") { $("note").value = reviewOf(row)?.note || ""; $("noter-name").textContent = `Redo ${row.id}`; $("noter").showModal(); return; }
    review(row, mark);
    if (mark) step(1);
  }

  // -- choosing rows

  const ORDERS = { row: (row) => row.row, id: (row) => row.id, cost: costOf, time: timeOf, ended: endOf };
  function matches(row, terms) {
    if (wish.state && stateOf(row) !== wish.state) return false;
    if (wish.model && row.model !== wish.model) return false;
    if (wish.review && (reviewOf(row)?.mark || "none") !== wish.review) return false;
    if (wish.field && wish.value) { const value = fieldsOf(row).get(wish.field); if (value === undefined || !value.toLowerCase().includes(wish.value.toLowerCase())) return false; }
    if (!terms.length) return true;
    if (!hay.has(row)) hay.set(row, haystack(row));
    const text = hay.get(row);
    return terms.every((term) => text.includes(term));
  }
  const names = new Intl.Collator("en", { numeric: true });
  function compare(a, b) {
    const x = ORDERS[wish.sort](a), y = ORDERS[wish.sort](b);
    if (x === null || y === null) return (x === null) - (y === null) || a.row - b.row; // what is not known comes last either way
    const by = typeof x === "string" ? names.compare(x, y) : x - y;
    return (wish.up ? by : -by) || a.row - b.row;
  }
  function refresh() {
    if (!loading && surveyed !== rows.length) choices();
    const terms = wish.search.toLowerCase().split(/\s+/).filter(Boolean);
    shown = rows.filter((row) => matches(row, terms)).sort(compare);
    if (chosen) chosen = rows[byId.get(chosen.id)] || null;
    if (staged) staged = rows[byId.get(staged.id)] || null;
    const all = Boolean(wish.state || wish.model || wish.review || (wish.field && wish.value) || wish.search);
    $("found").textContent = all ? `${number(shown.length)} of ${plural(rows.length, "row")}` : plural(rows.length, "row");
    $("clear").hidden = !all;
    const isEmpty = !shown.length && view !== "summary" && !loading;
    $("empty").hidden = !isEmpty;
    $("empty").textContent = rows.length ? "No row is like that." : source.empty;
    tell();
    countReviews();
    paint();
  }
  let told = "";
  function tell() {
    const { counts } = report, total = report.rows;
    $("account").textContent = [plural(total, "row"), `${usd(report.cost_usd)}${report.service === "simulator" ? ", simulated" : ""}`, source.when(report)].join(" · ");
    const found = { "": total, ...counts }, states = ["", ...Object.keys(WORDS).filter((state) => counts[state] || wish.state === state)];
    if (told !== states.join()) { // else the same buttons stay: one of them may have the focus, or be under a finger
      told = states.join();
      $("states").replaceChildren(...states.map((state) => h("button", { type: "button", "data-state": state, onclick: () => set({ state: wish.state === state ? "" : state }) }, state && h("span", { className: `dot ${state}` }), WORDS[state] || "All", h("b"))));
    }
    for (const chip of $("states").children) {
      chip.setAttribute("aria-pressed", String(wish.state === chip.dataset.state));
      chip.querySelector("b").textContent = number(found[chip.dataset.state]);
    }
  }
  function set(changes) {
    Object.assign(wish, changes);
    for (const name of ["model", "review", "field", "value", "search", "sort"]) $(name).value = wish[name];
    $("valued").hidden = !wish.field;
    $("order").textContent = wish.up ? "↑" : "↓";
    $("order").setAttribute("aria-label", wish.up ? "Ascending" : "Descending");
    refresh();
    if (view === "cards" && $("bar").getBoundingClientRect().top <= 0) scrollTo({ top: Math.min(scrollY, $("main").offsetTop - $("bar").offsetHeight) });
  }
  let surveyed = 0, offered = "";
  function choices() {
    surveyed = rows.length;
    const models = new Set(), fields = new Map();
    for (const row of rows) {
      models.add(row.model);
      for (const [key, value] of fieldsOf(row)) { if (!fields.has(key)) fields.set(key, new Set()); const known = fields.get(key); if (known.size < 200) known.add(value); }
    }
    const option = (value, text) => h("option", { value, text });
    known = fields;
    const now = JSON.stringify([[...models], [...fields].map(([key, values]) => [key, values.size])]);
    if (now === offered) return; // a list that is open stays so
    offered = now;
    $("model").replaceChildren(option("", "all"), ...[...models].sort().map((model) => option(model, shortModel(model))));
    $("field").replaceChildren(option("", "any"), ...[...fields.keys()].filter((key) => key !== "id").sort().map((key) => option(key, key)));
    $("model").value = wish.model; $("field").value = wish.field;
    const isAxis = (key) => key.endsWith(" (axis)");
    const keys = [["picture", "picture"], ...[...fields].filter(([key, values]) => key !== "id" && !fields.has(`${key} (axis)`) && values.size > 1 && values.size < 200).map(([key]) => [key, key.replace(" (axis)", "")]), ["model", "model"], ["state", "state"]];
    for (const id of ["lines", "columns"]) $(id).replaceChildren(...keys.map(([key, text]) => option(key, text)));
    const axes = keys.map(([key]) => key).filter(isAxis).sort((a, b) => fields.get(b).size - fields.get(a).size);
    const hasPictures = rows.some(inputOf);
    const isKnown = (key) => keys.some(([each]) => each === key);
    if (!isKnown(sheetKeys.columns)) sheetKeys.columns = axes[0] || "model";
    if (!isKnown(sheetKeys.lines)) sheetKeys.lines = hasPictures ? "picture" : axes[1] || "state";
    $("lines").value = sheetKeys.lines; $("columns").value = sheetKeys.columns;
  }
  let known = new Map();
  const sheetKeys = { lines: "", columns: "" };

  // -- pieces that several views show

  const KINDS = { rejected: "Refused by the service", unreachable: "Could not be reached", outcome_unknown: "Nobody knows whether it was made", input_changed: "Its input changed", generation_failed: "The generation failed", cancelled: "Cancelled", stalled: "It did not end in time", result_lost: "The service has lost it", bad_result: "No usable result", download_failed: "Could not be downloaded", expired: "Its files are gone", abandoned: "Given up" };
  const OPEN = { planned: "Not submitted yet", submitting: "Being submitted", submitted: "At the service", produced: "Made, not downloaded yet" };
  const prose = (words) => words.split("`").map((each, n) => (n % 2 ? h("code", { text: each }) : each)); // remedies name commands between backticks
  function went(row) {
    const { failure } = row, state = stateOf(row);
    const title = failure ? KINDS[failure.kind] || spoken(failure.kind) : OPEN[row.state] || WORDS[state];
    return h("div", { className: `went ${state}` }, h("b", { text: title }), failure && h("span", { text: failure.message }), failure?.remedy && h("i", {}, ...prose(failure.remedy)));
  }
  function film(file, row, facts = {}) {
    const from = inputOf(row);
    return h("video", { src: address(file), poster: from ? small(from) : undefined, muted: true, loop: true, playsInline: true, preload: "metadata", ...facts });
  }
  function picture(row) {
    const file = row.files[0];
    if (!file) return went(row);
    if (isPicture(file)) return image(cardSources(file), "", { className: file.media_type === "image/jpeg" ? "" : "seethrough" });
    if (isFilm(file)) return film(file, row, { tabIndex: -1, "aria-hidden": "true" });
    return h("div", { className: "went" }, h("b", { text: file.media_type.startsWith("audio/") ? "♪ Sound" : "File" }), h("span", { text: baseName(file.path) }));
  }
  function lost(place) {
    place.addEventListener("lost", () => { if (![...place.querySelectorAll("img")].some((img) => !img.hidden && !img.classList.contains("from"))) place.append(h("div", { className: "went failed" }, h("b", { text: "Its file is missing" }), h("i", { text: "batcher verify DIR fetches it again." }))); });
    return place;
  }

  // -- the gallery: only the cards in view are in the document

  const cards = new Map();
  let shape = null;
  function card(row) {
    const state = stateOf(row), from = inputOf(row), file = row.files[0];
    const tag = row.files.length > 1 ? `${row.files.length} files` : file && isFilm(file) ? "▶ video" : "";
    const facts = [shortModel(row.model), seedOf(row) !== null ? `seed ${seedOf(row)}` : "", row.cost_usd !== null ? usd(row.cost_usd) : "", timeOf(row) !== null ? seconds(timeOf(row)) : ""];
    const body = lost(h("div", { className: "view" }, picture(row), file && from && isPicture(file) && image([small(from)], "", { className: "from" }), tag && h("span", { className: "tag", text: tag })));
    const open = h("button", { type: "button", className: "open", "aria-label": `${row.id}, ${WORDS[state]}${row.failure ? `: ${KINDS[row.failure.kind] || row.failure.kind}` : ""}`, onclick: () => show(row), onfocus: () => choose(row, false) },
      body,
      h("div", { className: "words" },
        h("p", { className: "name" }, h("span", { className: `dot ${state}` }), h("span", { text: row.id })),
        h("p", { className: "prompt", text: promptOf(row) }),
        h("p", { className: "meta", text: facts.slice(1).concat(facts[0]).filter(Boolean).join(" · "), title: row.model })));
    const quick = h("div", { className: "quick", role: "group", "aria-label": `Review ${row.id}` }, ...Object.entries(MARKS).map(([mark, [sign, word]]) =>
      h("button", { type: "button", "data-mark": mark, "aria-label": `${word} ${row.id}`, title: word, text: sign, onclick: () => { choose(row, false); if (mark === "redo") act("redo"); else review(row, reviewOf(row)?.mark === mark ? null : mark); } })));
    const made = h("li", { onpointerenter: () => play(made, true), onpointerleave: () => play(made, false) }, h("article", { className: "card" }, open, quick));
    return { made, row };
  }
  function play(place, on) {
    const found = place.querySelector("video");
    if (!found) return;
    if (on && !matchMedia("(prefers-reduced-motion: reduce)").matches) found.play().catch(() => {}); else found.pause();
  }
  function measure() {
    const width = $("grid").clientWidth;
    if (!width) return false;
    const columns = Math.max(1, Math.floor((width + GAP_PX) / (CARD_PX + GAP_PX)));
    const cardWidth = Math.floor((width - GAP_PX * (columns - 1)) / columns);
    shape = { columns, width: cardWidth, height: cardWidth + WORDS_PX };
    return true;
  }
  function paintCards() {
    if (!measure()) return;
    const { columns, width, height } = shape, step = height + GAP_PX, grid = $("grid");
    grid.style.height = `${Math.ceil(shown.length / columns) * step}px`;
    const top = scrollY - grid.offsetTop;
    const first = Math.max(0, Math.floor((top - AHEAD_PX) / step) * columns);
    const last = Math.min(shown.length, Math.ceil((top + innerHeight + AHEAD_PX) / step) * columns);
    const wanted = new Map();
    for (let at = first; at < last; at += 1) wanted.set(shown[at].id, at);
    const focus = chosen ? shown.indexOf(chosen) : -1, held = document.activeElement?.closest?.("#grid .open, #grid .quick button") || null;
    const heldAs = held && [held.closest("li"), held.dataset.mark];
    if (focus >= 0) wanted.set(chosen.id, focus); // what has the focus stays, wherever one scrolls to
    for (const [id, each] of cards) if (!wanted.has(id) || each.row !== shown[wanted.get(id)]) { each.made.remove(); cards.delete(id); }
    for (const [id, at] of wanted) {
      let each = cards.get(id);
      if (!each) { each = card(shown[at]); cards.set(id, each); }
      const { made, row } = each, mark = reviewOf(row)?.mark || "", box = made.firstChild;
      made.style.width = `${width}px`; made.style.height = `${height}px`;
      made.style.transform = `translate(${(at % columns) * (width + GAP_PX)}px, ${Math.floor(at / columns) * step}px)`;
      made.setAttribute("aria-setsize", shown.length); made.setAttribute("aria-posinset", at + 1);
      box.className = `card ${mark} ${mark ? "marked" : ""} ${row === chosen ? "chosen" : ""}`;
      const isStop = chosen && focus >= 0 ? row === chosen : at === first;
      box.firstChild.tabIndex = isStop ? 0 : -1;
      for (const button of box.lastChild.children) { button.tabIndex = isStop ? 0 : -1; button.setAttribute("aria-pressed", String(button.dataset.mark === mark)); }
      each.at = at;
    }
    // in the order of the rows, so that the Tab key and screen readers meet them so
    let before = null;
    for (const { made } of [...cards.values()].sort((a, b) => a.at - b.at)) {
      if (made.parentNode !== grid || made.previousSibling !== before) grid.insertBefore(made, before ? before.nextSibling : grid.firstChild);
      before = made;
    }
    if (heldAs && !heldAs[0].isConnected && chosen && cards.has(chosen.id)) cards.get(chosen.id).made.querySelector(heldAs[1] ? `[data-mark="${heldAs[1]}"]` : ".open").focus({ preventScroll: true });
  }

  // -- the contact sheet: as a table of which only what is in view is in the document

  let sheet = null;
  const groupOf = (row, key) => (key === "model" ? shortModel(row.model) : key === "state" ? WORDS[stateOf(row)] : key === "picture" ? (inputOf(row) ? baseName(inputOf(row).path) : "no picture") : fieldsOf(row).get(key) ?? "–");
  function arrange() {
    const lines = new Map(), columns = new Map(), cells = new Map();
    for (const row of shown) {
      const line = groupOf(row, sheetKeys.lines), column = groupOf(row, sheetKeys.columns);
      if (!lines.has(line)) lines.set(line, row);
      if (!columns.has(column)) columns.set(column, row);
      const at = JSON.stringify([line, column]);
      if (!cells.has(at)) cells.set(at, []);
      cells.get(at).push(row);
    }
    return { lines: [...lines], columns: [...columns], at: (line, column) => cells.get(JSON.stringify([line, column])) || [] };
  }
  function paintSheet() {
    const place = $("sheet");
    if (!sheet || sheet.of !== shown || sheet.keys !== `${sheetKeys.lines}\n${sheetKeys.columns}` || sheet.room !== place.clientWidth) {
      const kept = sheet?.box ? [sheet.box.scrollLeft, sheet.box.scrollTop] : [0, 0];
      const { lines, columns, at } = arrange();
      const side = Math.round(Math.min(300, Math.max(132, (place.clientWidth - 150) / Math.max(1, columns.length))));
      sheet = { of: shown, keys: `${sheetKeys.lines}\n${sheetKeys.columns}`, room: place.clientWidth, lines, columns, at, side, left: 148, top: 44 };
      sheet.inside = h("div", { className: "inside", role: "presentation" });
      sheet.heads = h("div", { className: "heads", role: "row" });
      sheet.box = h("div", { className: "table", role: "grid", tabIndex: 0, "aria-label": `Contact sheet: ${sheetKeys.lines} by ${sheetKeys.columns}`.replaceAll(" (axis)", ""), "aria-rowcount": lines.length + 1, "aria-colcount": columns.length + 1, onscroll: () => requestAnimationFrame(paintSheet) }, sheet.heads, sheet.inside);
      sheet.inside.style.width = sheet.heads.style.width = `${sheet.left + columns.length * side}px`;
      sheet.inside.style.height = `${lines.length * side}px`; sheet.heads.style.height = `${sheet.top}px`;
      place.replaceChildren(...(shown.length ? [sheet.box] : []));
      sheet.box.scrollTo(...kept);
    }
    const { lines, columns, at, side, left, top, box } = sheet;
    const range = (from, to, n) => [Math.max(0, Math.floor(from / side) - 1), Math.min(n, Math.ceil(to / side) + 1)];
    const [l0, l1] = range(box.scrollTop, box.scrollTop + box.clientHeight, lines.length);
    const [c0, c1] = range(box.scrollLeft - left, box.scrollLeft + box.clientWidth, columns.length);
    const put = (made, x, y, width, height) => { made.style.transform = `translate(${x}px, ${y}px)`; made.style.width = `${width}px`; made.style.height = `${height}px`; return made; };
    const wide = (text, facts) => h("span", { text, ...facts });
    const held = document.activeElement?.closest?.(".cell")?.dataset.at;
    sheet.heads.replaceChildren(put(h("div", { role: "columnheader" }, wide("")), 0, 0, left, top), ...columns.slice(c0, c1).map(([name], n) => put(h("div", { role: "columnheader", title: name, "aria-colindex": c0 + n + 2 }, wide(name.length > 70 ? `${name.slice(0, 68)}…` : spoken(name))), left + (c0 + n) * side, 0, side, top)));
    for (const each of sheet.heads.children) { each.style.position = "absolute"; each.style.left = 0; }
    sheet.inside.replaceChildren(...lines.slice(l0, l1).map(([name, first], n) => {
      const line = l0 + n, from = sheetKeys.lines === "picture" ? inputOf(first) : null;
      const made = put(h("div", { role: "row", "aria-rowindex": line + 2 }), 0, line * side, left + columns.length * side, side);
      const title = h("div", { role: "rowheader", title: name }, from && image([small(from)], ""), wide(name.length > 70 ? `${name.slice(0, 68)}…` : spoken(name.replace(/\.\w+$/, ""))));
      title.style.width = `${left}px`; title.style.height = `${side}px`;
      made.append(title, ...columns.slice(c0, c1).map(([column], m) => {
        const found = at(name, column), col = c0 + m, row = found[0];
        const cell = put(h("div", { role: "gridcell", "aria-colindex": col + 2 }), left + col * side, 0, side, side);
        cell.style.position = "absolute"; cell.style.left = "0"; cell.style.top = "0";
        if (!row) return cell;
        const mark = reviewOf(row)?.mark;
        cell.append(h("button", { type: "button", className: `cell ${mark || ""} ${row === chosen ? "chosen" : ""}`, "data-at": `${line},${col}`, tabIndex: row === chosen ? 0 : -1, "aria-label": `${row.id}, ${WORDS[stateOf(row)]}${mark ? `, ${MARKS[mark][2]}` : ""}`, onclick: () => { chosen = row; show(row); }, onfocus: () => { chosen = row; } },
          lost(h("div", { className: "view" }, picture(row))), found.length > 1 && h("span", { className: "tag", text: `+${found.length - 1}` }), mark && h("span", { className: `sign ${mark}`, text: MARKS[mark][0] })));
        return cell;
      }));
      return made;
    }));
    if (held) sheet.inside.querySelector(`[data-at="${held}"]`)?.focus({ preventScroll: true });
  }
  function moveInSheet(dx, dy) {
    const { lines, columns, at, side, box, left } = sheet;
    let line = lines.findIndex(([name]) => chosen && name === groupOf(chosen, sheetKeys.lines)), column = columns.findIndex(([name]) => chosen && name === groupOf(chosen, sheetKeys.columns));
    if (line < 0 || column < 0) [line, column, dx, dy] = [0, 0, 0, 0];
    do {
      line += dy; column += dx;
      if (line < 0 || column < 0 || line >= lines.length || column >= columns.length) return;
      const found = at(lines[line][0], columns[column][0])[0];
      if (found) { chosen = found; break; }
    } while (dx || dy);
    box.scrollTo({ top: Math.min(Math.max(box.scrollTop, (line + 1) * side - box.clientHeight + sheet.top), line * side), left: Math.min(Math.max(box.scrollLeft, left + (column + 1) * side - box.clientWidth), column * side) });
    paintSheet();
    sheet.inside.querySelector(`[data-at="${line},${column}"]`)?.focus({ preventScroll: true });
  }

  // -- the stage: one row, large

  const LABELS = { queued_s: "In the queue", running_s: "Being made", download_s: "Downloaded in" };
  function pairs(entries, field) {
    return h("dl", { className: "pairs" }, ...entries.filter(([, value]) => value !== null && value !== undefined && value !== "").flatMap(([key, value]) => [h("dt", { text: key }),
      h("dd", {}, `${asText(value)} `, field && known.has(key) && known.get(key).size > 1 && h("button", { type: "button", className: "plain", text: "only these", "aria-label": `Only rows with this ${key}`, onclick: () => { leaveStage(); set({ field: key, value: asText(value) }); } }))]));
  }
  function facts(row) {
    const state = stateOf(row), mark = Object.hasOwn(reviews, row.id) ? reviews[row.id] : null, parts = [];
    const block = (title, ...inner) => h("div", {}, h("h3", { text: title }), ...inner);
    parts.push(h("div", {}, h("span", { className: `badge ${state}`, text: row.state === state ? WORDS[state] : OPEN[row.state] || spoken(row.state) })));
    if (mark && mark.mark in MARKS && mark.sha256 !== digestOf(row)) parts.push(h("p", { className: "note", text: `An earlier result of this row was ${MARKS[mark.mark]?.[2] || "marked"}.` }));
    if (reviewOf(row)?.note) parts.push(h("p", { className: "note", text: reviewOf(row).note }));
    if (row.failure && row.files.length) parts.push(h("div", { className: `failure ${state}` }, h("b", { text: KINDS[row.failure.kind] || spoken(row.failure.kind) }), h("p", { text: row.failure.message }), row.failure.remedy && h("p", {}, ...prose(row.failure.remedy))));
    if (promptOf(row)) parts.push(block("Prompt", h("p", { className: "said", text: promptOf(row) })));
    const sent = row.input_files.filter(isPicture);
    if (sent.length) parts.push(block(sent.length > 1 ? "Inputs" : "Input", h("div", { className: "inputs" }, ...sent.map((file) => h("figure", {}, lost(h("div", {}, image([small(file)], `Input ${baseName(file.path)}`))), h("figcaption", { text: baseName(file.path) }))))));
    parts.push(block("Request", pairs([["Model", row.model], ["Seed", seedOf(row)], ["Cost", row.cost_usd === null ? (row.attempts ? "not known" : null) : usd(row.cost_usd)], ["Attempts", row.attempts], ["Submitted", row.submitted_at && moment(row.submitted_at)],
      ...Object.entries(LABELS).map(([key, label]) => [label, row.timings[key] === null ? null : seconds(row.timings[key])]), ["Request id", row.request_id], ["Manifest", row.source]])));
    const given = [...Object.entries(row.axes).map(([key, value]) => [`${key} (axis)`, value]), ...Object.entries(row.inputs)];
    if (given.length) parts.push(block("Fields", pairs(given, true)));
    if (row.files.length) parts.push(block(row.files.length > 1 ? "Files" : "File", ...row.files.map((file) => h("p", { className: "quiet" }, h("a", { href: address(file), target: "_blank", rel: "noopener noreferrer", text: file.path }), ` ${[file.width && `${file.width} × ${file.height}`, bytes(file.size_bytes)].filter(Boolean).join(" · ")}`))));
    parts.push(h("details", {}, h("summary", { text: "The request as it was sent" }), h("pre", { text: JSON.stringify(row.body, null, 2) })));
    return parts;
  }
  function slider(row, file, from) {
    const box = lost(h("div", { className: "compare" }));
    const range = h("input", { type: "range", min: 0, max: 100, step: 0.1, value: 50, "aria-label": "Before and after: how much of the picture shows the input" });
    const move = () => { box.style.setProperty("--at", `${range.value}%`); box.classList.toggle("all-before", Number(range.value) > 85); box.classList.toggle("all-after", Number(range.value) < 15); };
    range.addEventListener("input", move);
    range.addEventListener("pointerup", () => range.blur()); // else the arrow keys would go on moving it
    const ratio = (file.width || 1) / (file.height || 1);
    box.style.width = `min(100cqw, calc(100cqh * ${ratio}))`; box.style.aspectRatio = String(ratio);
    box.append(image(resultSources(file), `Result of ${row.id}`), image([large(from), small(from)], `Input of ${row.id}`, { className: "before", onlost: (event) => { event.stopPropagation(); range.remove(); for (const each of box.querySelectorAll(".label, .bar-line")) each.remove(); } }),
      h("span", { className: "bar-line" }), h("span", { className: "label left", text: "Before" }), h("span", { className: "label right", text: "After" }), range);
    return box;
  }
  let fileAt = 0;
  function paintStage() {
    const row = staged, file = row.files[fileAt], from = inputOf(row), place = $("picture");
    if (place.dataset.of !== `${row.id}\n${fileAt}\n${file?.sha256}`) {
      place.dataset.of = `${row.id}\n${fileAt}\n${file?.sha256}`;
      place.style.containerType = "size";
      if (!file) place.replaceChildren(went(row));
      else if (isPicture(file) && from) place.replaceChildren(slider(row, file, from));
      else if (isPicture(file)) place.replaceChildren(image(resultSources(file), `Result of ${row.id}`));
      else if (isFilm(file)) { const made = film(file, row, { controls: true, "aria-label": `Result of ${row.id}` }); place.replaceChildren(made); if (!matchMedia("(prefers-reduced-motion: reduce)").matches) made.play().catch(() => {}); }
      else if (file.media_type.startsWith("audio/")) place.replaceChildren(h("audio", { src: address(file), controls: true, "aria-label": `Result of ${row.id}` }));
      else place.replaceChildren(h("a", { href: address(file), text: file.path }));
      $("strip").hidden = row.files.length < 2;
      $("strip").replaceChildren(...(row.files.length < 2 ? [] : row.files.map((each, n) => h("button", { type: "button", "aria-label": `File ${n + 1}`, "aria-pressed": String(n === fileAt), onclick: () => { fileAt = n; paintStage(); } }, isPicture(each) ? image(cardSources(each), "") : String(n + 1)))));
    }
    $("stage-name").textContent = row.id;
    const at = shown.indexOf(row);
    $("position").textContent = at < 0 ? "not among the rows that are shown" : `${number(at + 1)} of ${number(shown.length)}`;
    $("previous").disabled = at <= 0; $("next").disabled = at < 0 || at === shown.length - 1;
    const mark = reviewOf(row)?.mark;
    for (const button of document.querySelectorAll(".verdict button")) button.setAttribute("aria-pressed", String(button.dataset.mark === mark));
    const now = JSON.stringify([row, mark, reviewOf(row)?.note]);
    if ($("facts").dataset.now !== now) { $("facts").dataset.now = now; $("facts").replaceChildren(...facts(row)); }
  }
  let pushed = false;
  function show(row, fromAddress = false) {
    const isOpen = Boolean(staged);
    staged = row; chosen = row; fileAt = 0;
    if (!fromAddress) {
      const there = `#row=${encodeURIComponent(row.id)}`;
      if (isOpen) history.replaceState(null, "", there); else { history.pushState(null, "", there); pushed = true; }
    }
    if (!$("stage").open) { $("stage").showModal(); document.documentElement.style.overflow = "hidden"; }
    $("stage").querySelector(".panel").scrollTop = 0;
    paintStage();
    if (isOpen) say(`${row.id}, ${WORDS[stateOf(row)]}`);
  }
  function leaveStage() { if ($("stage").open) $("stage").close(); }
  $("stage").addEventListener("close", () => {
    $("picture").replaceChildren(); delete $("picture").dataset.of;
    document.documentElement.style.overflow = "";
    const row = staged;
    staged = null;
    if (row && location.hash) { if (pushed) history.back(); else history.replaceState(null, "", location.pathname + location.search); }
    pushed = false;
    if (row) choose(row, true);
  });
  function toggle() {
    const film = $("picture").querySelector("video"), range = $("picture").querySelector("input");
    if (film) { if (film.paused) film.play().catch(() => {}); else film.pause(); }
    if (range) { range.value = Number(range.value) > 50 ? 0 : 100; range.dispatchEvent(new Event("input")); }
  }

  // -- moving

  function choose(row, focus) {
    if (!row) return;
    const was = chosen;
    chosen = row;
    if (view !== "cards") { if (view === "sheet") paintSheet(); return; }
    const at = shown.indexOf(row);
    if (focus && at >= 0 && measure()) {
      const y = $("grid").offsetTop + Math.floor(at / shape.columns) * (shape.height + GAP_PX), room = $("bar").offsetHeight + 16;
      if (y < scrollY + room) scrollTo({ top: y - room }); else if (y + shape.height > scrollY + innerHeight) scrollTo({ top: y + shape.height + 16 - innerHeight });
    }
    if (was !== row || focus) paintCards();
    if (focus) cards.get(row.id)?.made.querySelector(".open").focus({ preventScroll: true });
  }
  function step(by) {
    const at = shown.indexOf(staged || chosen), row = shown[Math.min(shown.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    if (!row) return;
    if (staged) { if (row !== staged) show(row); } else if (view === "sheet") { if (by) moveInSheet(Math.sign(by), 0); } else choose(row, true);
  }
  function onKey(event) {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || $("noter").open || $("keys").open) return;
    const isRange = target.type === "range", isTyping = target.matches("input:not([type=range]), textarea, select"), isPressing = target.matches("button, a, summary, video, audio");
    if (isTyping) { if (key === "Escape" && target === $("search")) set({ search: "" }); return; }
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const marks = { 1: "accept", 2: "reject", 0: null, r: "redo", R: "redo" };
    if (key in marks && (staged || (view !== "summary" && chosen))) { event.preventDefault(); act(marks[key]); return; }
    if (key in moves && !isRange && view !== "summary") {
      const [x, y] = moves[key];
      event.preventDefault();
      if (staged) step(x || y);
      else if (view === "sheet") moveInSheet(x, y);
      else step(chosen ? x || y * (measure() ? shape.columns : 1) : 0);
      return;
    }
    if (key === " " && staged && !isPressing) { event.preventDefault(); toggle(); return; }
    if (key === " " && !staged && chosen && view !== "summary" && !target.matches("button, a, summary")) { event.preventDefault(); show(chosen); return; }
    if (staged) return;
    if (key === "/") { event.preventDefault(); $("search").focus(); }
    if (key === "?") $("keys").showModal();
  }

  // -- the summary

  function chart(width, height, left, bottom, ...children) { return h("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, h("line", { class: "rule", x1: left, x2: width, y1: height - bottom, y2: height - bottom }), ...children); }
  const text = (x, y, words, anchor = "start") => h("text", { x, y, "text-anchor": anchor }, words);
  function concurrency() {
    const moves = [];
    for (const row of rows) { const took = serviceTimeOf(row); if (row.submitted_at && took !== null) { const from = Date.parse(row.submitted_at) / 1000; moves.push([from, 1], [from + took, -1]); } }
    if (moves.length < 2) return null;
    moves.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
    const start = moves[0][0], span = Math.max(0.001, moves[moves.length - 1][0] - start), W = Math.max(320, $("summary").clientWidth - 42), H = 180, L = 34, B = 22, bins = 240;
    const most = new Array(bins).fill(0);
    let now = 0, at = 0;
    for (let bin = 0; bin < bins; bin += 1) { most[bin] = now; const end = start + (span * (bin + 1)) / bins; while (at < moves.length && moves[at][0] <= end) { now += moves[at][1]; most[bin] = Math.max(most[bin], now); at += 1; } }
    const limits = report.concurrency.map((change) => [Date.parse(change.at) / 1000, change.limit, change.reason]).filter(([when]) => when >= start - 1 && when <= start + span + 1);
    const top = Math.max(...most, 1, ...limits.map(([, limit]) => limit));
    const x = (bin) => L + ((W - L) * bin) / bins, y = (n) => H - B - ((H - B - 10) * n) / top;
    const edge = most.map((n, bin) => `${bin ? "L" : "M"}${x(bin).toFixed(1)} ${y(n).toFixed(1)}L${x(bin + 1).toFixed(1)} ${y(n).toFixed(1)}`).join("");
    const after = (s) => (span < 1.5 ? `${(s * 1000).toFixed(0)} ms` : seconds(s));
    const drawn = chart(W, H, L, B, h("path", { class: "area", d: `${edge}L${W} ${H - B}L${L} ${H - B}Z` }), h("path", { class: "edge", d: edge }), text(L - 6, y(top) + 4, number(top), "end"), text(L - 6, H - B + 4, "0", "end"), text(L, H - 5, moment(new Date(start * 1000).toISOString())), text(W, H - 5, `+ ${after(span)}`, "end"));
    for (const [n, [when, limit, reason]] of limits.entries()) { const x0 = x(((when - start) / span) * bins), x1 = n + 1 < limits.length ? x(((limits[n + 1][0] - start) / span) * bins) : W; drawn.append(h("path", { class: "limit", d: `M${Math.max(L, x0).toFixed(1)} ${y(limit).toFixed(1)}L${x1.toFixed(1)} ${y(limit).toFixed(1)}` }, h("title", {}, `${limit}: ${reason}`))); }
    drawn.setAttribute("aria-label", `Requests at the service over time, ${top} at most`);
    return { drawn, note: limits.length ? "The dashed line is how many the service let through." : "" };
  }
  function histogram(times) {
    const W = 380, H = 96, B = 20, bins = 28, top = Math.max(...times, 0.001), piles = new Array(bins).fill(0);
    for (const time of times) piles[Math.min(bins - 1, Math.floor((time / top) * bins))] += 1;
    const most = Math.max(...piles);
    const drawn = chart(W, H, 0, B, ...piles.map((n, at) => n && h("rect", { class: "pile", x: (at * W) / bins + 1, width: W / bins - 2, y: H - B - ((H - B - 6) * n) / most, height: ((H - B - 6) * n) / most, rx: 1.5 }, h("title", {}, `${plural(n, "row")} up to ${seconds(((at + 1) * top) / bins)}`))), text(0, H - 5, "0"), text(W, H - 5, seconds(top), "end"));
    drawn.setAttribute("aria-label", `${plural(times.length, "row")}, up to ${seconds(top)}`);
    return drawn;
  }
  const link = (id) => h("a", { href: `#row=${encodeURIComponent(id)}`, text: id });
  function table(titles, lines) { return h("table", {}, h("thead", {}, h("tr", {}, ...titles.map((each) => h("th", { scope: "col", text: each })))), h("tbody", {}, ...lines.map((line) => h("tr", {}, ...line.map((each) => h("td", {}, each)))))); }
  function paintSummary() {
    const report = source.account(), { counts } = report, partly = rows.length < report.rows ? `of the ${number(rows.length)} rows that are loaded` : "";
    const block = (title, small, ...inner) => h("div", { className: "block" }, h("h2", {}, title, small && h("small", { text: small })), ...inner);
    const figure = (term, value) => h("div", {}, h("dt", { text: term }), h("dd", { text: value }));
    const account = block("The batch", report.service === "simulator" ? "simulated: nothing was spent" : report.service,
      h("dl", { className: "figures" }, figure("rows", number(report.rows)), figure("done", number(counts.done)), counts.failed && figure("failed", number(counts.failed)), counts.in_doubt && figure("in doubt", number(counts.in_doubt)), counts.cancelled && figure("cancelled", number(counts.cancelled)), counts.open && figure("open", number(counts.open)),
        figure(report.cost_unknown_rows ? `and ${plural(report.cost_unknown_rows, "row")} of unknown cost` : "in all", usd(report.cost_usd)), counts.done && figure("per row done", usd(report.cost_usd / counts.done)), figure(report.runs > 1 ? `in ${report.runs} runs` : "from start to end", seconds(report.throughput.run_s)), report.throughput.rows_per_s && figure("rows a minute", number(Math.round(report.throughput.rows_per_s * 60)))),
      h("div", { className: "stack", role: "img", "aria-label": Object.entries(WORDS).filter(([state]) => counts[state]).map(([state, word]) => `${counts[state]} ${word.toLowerCase()}`).join(", ") }, ...Object.keys(WORDS).filter((state) => counts[state]).map((state) => { const made = h("span", { className: state }); made.style.flex = String(counts[state]); return made; })));
    account.classList.add("full");
    const blocks = [account];
    const flow = concurrency();
    if (flow) { const made = block("Requests at the service", partly, flow.drawn, flow.note && h("p", { className: "quiet", text: flow.note })); made.classList.add("full"); blocks.push(made); }
    if (report.failures.length) blocks.push(block("What went wrong", "", ...report.failures.map((group) => h("div", { className: "kind" }, h("h3", { text: `${number(group.rows)} × ${KINDS[group.kind] || spoken(group.kind)}` }), h("ul", {}, ...group.examples.map((example) => h("li", {}, link(example.id), ` ${example.message}`))), group.examples[0]?.remedy && h("p", { className: "do" }, ...prose(group.examples[0].remedy))))));
    if (Object.keys(report.timings).length) blocks.push(block("Times", "of rows that are done", table(["", "half within", "95 % within", "longest"], Object.entries(LABELS).filter(([key]) => report.timings[key]).map(([key, label]) => [label, seconds(report.timings[key].p50), seconds(report.timings[key].p95), seconds(report.timings[key].max)]))));
    const models = new Map();
    for (const row of rows) { if (!models.has(row.model)) models.set(row.model, []); models.get(row.model).push(row); }
    const groups = [...models].sort((a, b) => b[1].length - a[1].length).slice(0, 12);
    blocks.push(block("Models", partly, table(["", "rows", "done", "cost"], groups.map(([model, found]) => [model, number(found.length), number(found.filter((row) => row.state === "done").length), usd(found.reduce((sum, row) => sum + (row.cost_usd || 0), 0))]))));
    for (const [model, found] of groups.slice(0, 4)) { const times = found.filter((row) => row.state === "done").map(serviceTimeOf).filter((time) => time !== null); if (times.length > 1) blocks.push(block("From submit to result", shortModel(model), histogram(times))); }
    const slow = rows.filter((row) => timeOf(row) !== null).sort((a, b) => timeOf(b) - timeOf(a)).slice(0, 8);
    if (slow.length) blocks.push(block("Slowest rows", partly, table(["", "queue", "made", "download"], slow.map((row) => [link(row.id), ...Object.keys(LABELS).map((key) => seconds(row.timings[key]))]))));
    const same = report.same_files.map((group) => h("p", {}, `${plural(group.rows, "row")} with the very same file: `, ...group.examples.flatMap((id, n) => [n ? ", " : "", link(id)])));
    if (same.length || report.files_missing) blocks.push(block("Look at these", "", ...same, report.files_missing ? h("p", { text: `${plural(report.files_missing, "file")} missing, or not as saved: batcher verify DIR says which.` }) : ""));
    blocks.push(block("Calls", "over all runs", table(["", ""], Object.entries(report.requests).map(([name, n]) => [name, number(n)]))));
    $("summary").replaceChildren(...blocks.filter((each) => each.classList.contains("full")), h("div", { className: "columns" }, ...blocks.filter((each) => !each.classList.contains("full"))));
  }

  // -- views, addresses, theme

  const PAINTERS = { cards: paintCards, sheet: paintSheet, summary: paintSummary };
  function paint() {
    PAINTERS[view]();
    if (staged) paintStage();
  }
  function turn(to) {
    view = to;
    for (const button of document.querySelectorAll(".views button")) button.setAttribute("aria-pressed", String(button.dataset.view === to));
    for (const name of Object.keys(PAINTERS)) $(name).hidden = name !== to;
    $("bar").hidden = to === "summary"; $("sorted").hidden = $("order").hidden = to !== "cards"; $("lined").hidden = $("columned").hidden = to !== "sheet";
    refresh();
  }
  async function follow() {
    const found = /^#row=(.+)$/.exec(location.hash);
    if (!found) { leaveStage(); return; }
    let id;
    try { id = decodeURIComponent(found[1]); } catch { return; }
    if (staged?.id === id) return;
    const row = await seek(id);
    if (row) show(row, true); else notice(`There is no row ${id} in this batch.`);
  }
  const THEMES = { "": ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };
  function theme(to, keep) {
    if (to) document.documentElement.dataset.theme = to; else delete document.documentElement.dataset.theme;
    $("theme").textContent = THEMES[to][0];
    $("theme").setAttribute("aria-label", `Theme: ${THEMES[to][1]}`);
    if (keep) try { localStorage.setItem("batcher/theme", to); } catch { /* for this visit only, then */ }
  }

  // -- where rows come from. A source has its rows in `parts`, and loads one of them.

  /* Chunks: scripts beside the page, since a page on a disk may read nothing else. */
  const chunks = {
    patience_ms: 0,
    parts: () => head.chunks.reduce((parts, chunk) => { if (!parts.length || parts.at(-1).rows + chunk.rows > head.part_rows) parts.push({ chunks: [], rows: 0 }); parts.at(-1).chunks.push(chunk); parts.at(-1).rows += chunk.rows; return parts; }, []),
    async load(part) {
      const all = await Promise.all((part?.chunks || []).map((chunk) => new Promise((done) => document.head.append(h("script", { src: chunk.src, nonce, async: false, onload: () => done(true), onerror: () => done(false) })))));
      for (const each of document.head.querySelectorAll("script[src]")) each.remove();
      if (all.includes(false)) notice("Some rows cannot be loaded: the folder “report” beside this page is missing or not whole. batcher report DIR writes it again.");
    },
    meet() {},
    empty: "This batch has no rows.",
    version: () => "", whose: () => "",
    when: (account) => moment(account.finished_at),
    account: () => report,
  };
  const source = typeof live === "undefined" ? chunks : live({ head, h, $, receive, choices, again: () => load(part), notice, chart, text, number, plural, seconds, usd, shortModel, stateOf, endOf, serviceTimeOf, WORDS, rows: () => rows, row: (id) => rows[byId.get(id)], report: () => report });
  let loading = false, part = 0, parts = [];
  async function load(to) {
    parts = source.parts();
    part = Math.min(to, Math.max(0, parts.length - 1)); rows = []; byId = new Map(); loading = true; surveyed = -1;
    let from = 1;
    $("parted").hidden = parts.length < 2;
    $("part").replaceChildren(...parts.map((each, n) => { const text = `${number(from)} – ${number(from + each.rows - 1)}`; from += each.rows; return h("option", { value: String(n), text }); }));
    $("part").value = String(part);
    await source.load(parts[part]);
    loading = false;
    refresh();
  }
  async function seek(id) {
    await ready;
    for (let n = 0; !byId.has(id) && n < parts.length; n += 1) if (n !== part || !rows.length) await load(n);
    return rows[byId.get(id)] || null;
  }
  function onChange(id, name) { $(id).addEventListener(id === "search" || id === "value" ? "input" : "change", () => set({ [name]: $(id).value, ...(id === "field" ? { value: "" } : {}) })); }

  for (const name of ["model", "review", "field", "value", "search", "sort"]) onChange(name, name);
  $("field").addEventListener("change", () => { $("values").replaceChildren(...[...(known.get(wish.field) || [])].slice(0, 200).map((value) => h("option", { value }))); if (wish.field) $("value").focus(); });
  for (const id of ["lines", "columns"]) $(id).addEventListener("change", () => { sheetKeys[id] = $(id).value; paintSheet(); });
  $("order").addEventListener("click", () => set({ up: !wish.up }));
  $("clear").addEventListener("click", () => { set({ state: "", model: "", review: "", field: "", value: "", search: "" }); $("search").focus(); });
  $("save").addEventListener("click", save);
  $("theme").addEventListener("click", () => { const all = Object.keys(THEMES); theme(all[(all.indexOf(document.documentElement.dataset.theme || "") + 1) % all.length], true); });
  $("help").addEventListener("click", () => $("keys").showModal());
  $("close").addEventListener("click", leaveStage);
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("unnote").addEventListener("click", () => $("noter").close());
  $("noting").addEventListener("submit", () => { const row = staged || chosen; if (row) { review(row, "redo", $("note").value.trim()); setTimeout(() => step(1)); } });
  $("note").addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); $("noting").requestSubmit(); } });
  for (const button of document.querySelectorAll(".views button")) button.addEventListener("click", () => turn(button.dataset.view));
  for (const button of document.querySelectorAll(".verdict button")) button.addEventListener("click", () => { const mark = button.dataset.mark; if (mark !== "redo" && reviewOf(staged)?.mark === mark) review(staged, null); else act(mark); });
  $("part").addEventListener("change", () => load(Number($("part").value)));
  document.addEventListener("keydown", onKey);
  addEventListener("scroll", () => { if (view === "cards") requestAnimationFrame(paintCards); }, { passive: true });
  addEventListener("resize", () => requestAnimationFrame(paint));
  addEventListener("popstate", follow);
  addEventListener("storage", (event) => { if (event.key === shelf) { try { reviews = Object.assign(Object.create(null), JSON.parse(event.newValue || "{}")); } catch { return; } later(); } });
  let kept = "";
  try { kept = localStorage.getItem("batcher/theme") || ""; } catch { /* as the system */ }
  theme(kept in THEMES ? kept : "", false);
  tell();
  let ready = Promise.resolve();
  setTimeout(() => { ready = load(0); follow(); }); // after `batcher` has its name
  return { receive };
})();
