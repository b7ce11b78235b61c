// Draws figures when they come into view, sorts tables, shows the chosen planet.
"use strict";
(() => {
const DATA = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const touch = matchMedia("(pointer: coarse)").matches;
const narrow = () => innerWidth < 600;
const drawn = new Map(); // element -> how to draw it again
const PAPER = {width: 680, autosize: false}; // of a figure on A4
const printed = () => document.documentElement.classList.contains("printed");

// --- colours and arrays of a figure ---------------------------------------------------------------------------------

function colour(name) { // "§c0/0.2": a colour of the page's style with an opacity
  const [key, alpha] = name.slice(1).split("/");
  const hex = getComputedStyle(document.documentElement).getPropertyValue("--" + key).trim();
  if (!alpha) return hex;
  const [r, g, b] = [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

function unpack(packed) { // base64 of float32, or of int16 with a scale, to an array of rows or numbers
  const bytes = Uint8Array.from(atob(packed.f4 ?? packed.i2), c => c.charCodeAt(0)).buffer;
  const flat = "f4" in packed ? Array.from(new Float32Array(bytes), v => Number.isFinite(v) ? v : null)
    : Array.from(new Int16Array(bytes), v => v === -32768 ? null : v * packed.scale);
  if (packed.shape.length < 2) return flat;
  const [rows, width] = packed.shape;
  return Array.from({length: rows}, (_, row) => flat.slice(row * width, (row + 1) * width));
}

function dressed(value) { // a copy with colours and arrays resolved
  if (typeof value === "string") return value.startsWith("§") ? colour(value) : value;
  if (Array.isArray(value)) return value.map(dressed);
  if (value === null || typeof value !== "object") return value;
  if ("shape" in value && ("f4" in value || "i2" in value)) return unpack(value);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, dressed(item)]));
}

function laidOut(given) {
  const layout = dressed(given), ink = colour("§ink"), grid = colour("§grid");
  const axis = {gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true, tickfont: {size: 11}};
  for (const key of Object.keys(layout)) if (/^[xy]axis/.test(key)) {
    layout[key] = {...axis, ...layout[key]};
    if (layout[key].title) layout[key].title = {font: {size: 12}, standoff: 8, ...layout[key].title};
  }
  const named = (layout.annotations ?? []).length > 0;
  return {
    margin: {l: narrow() ? 46 : 60, r: 12, t: named ? 52 : 34, b: 44}, dragmode: touch ? false : "zoom",
    legend: {orientation: "h", x: 0, y: 1, yanchor: "bottom", yref: "paper", font: {size: 12}, bgcolor: "rgba(0,0,0,0)",
      ...(named ? {y: narrow() ? 1.07 : 1.05} : {})},
    hoverlabel: {bgcolor: colour("§soft"), bordercolor: grid, font: {color: ink}}, ...layout,
    ...(printed() ? PAPER : {}),
    font: {family: "system-ui, sans-serif", size: 12, color: ink}, paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)", colorway: [0, 1, 2, 3, 4, 5].map(i => colour("§c" + i)),
  };
}

// --- drawing --------------------------------------------------------------------------------------------------------

function draw(element, data, layout) {
  drawn.set(element, () => Plotly.react(element, dressed(data), laidOut(layout),
    {responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover"}));
  drawn.get(element)();
  if (element.dataset.listening) return;
  element.dataset.listening = "yes";
  element.on("plotly_click", event => {
    const point = event.points[0], id = point.customdata ?? /^planet (\d+)$/.exec(point.y)?.[1];
    if (id !== undefined && DATA.planets.ids.includes(Number(id))) location.hash = "planet-" + id;
  });
}

function drawFigure(element) {
  const place = element.dataset.figure, choice = document.querySelector(`select[data-figure="${place}"]`);
  const {data, layout} = DATA.figures[place].variants[choice ? choice.value : 0];
  draw(element, data, layout);
}

const figures = [...document.querySelectorAll(".plot[data-figure]")];
const watcher = new IntersectionObserver(seen => seen.forEach(one => {
  if (!one.isIntersecting) return;
  watcher.unobserve(one.target);
  drawFigure(one.target);
}), {rootMargin: "400px"});
figures.forEach(element => watcher.observe(element));
document.querySelectorAll("select[data-figure]").forEach(choice => choice.addEventListener("change", () =>
  drawFigure(document.querySelector(`.plot[data-figure="${choice.dataset.figure}"]`))));
dark.addEventListener("change", () => drawn.forEach(again => again()));
addEventListener("beforeprint", () => { // on white paper, in ink
  document.documentElement.classList.add("printed");
  drawn.forEach(again => again());
  figures.forEach(element => drawn.has(element) || drawFigure(element));
});
addEventListener("afterprint", () => {
  document.documentElement.classList.remove("printed");
  drawn.forEach((again, element) => { again(); Plotly.Plots.resize(element); });
});

// --- tables ---------------------------------------------------------------------------------------------------------

const number = text => text === "–" ? NaN : Number(text.replace("−", "-"));

function sort(table, column) {
  const heads = [...table.tHead.rows[0].cells], head = heads[column];
  const down = head.getAttribute("aria-sort") === "ascending";
  heads.forEach(one => one.setAttribute("aria-sort", one === head ? (down ? "descending" : "ascending") : "none"));
  const rows = [...table.tBodies[0].rows].map(row => [row, row.cells[column].textContent]);
  const numeric = rows.some(([, text]) => !Number.isNaN(number(text)));
  rows.sort(([, a], [, b]) => {
    if (!numeric) return (down ? -1 : 1) * a.localeCompare(b);
    const [x, y] = [number(a), number(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y); // unknown ones last, both ways
    return (down ? -1 : 1) * (x - y);
  });
  table.tBodies[0].append(...rows.map(([row]) => row));
}

document.querySelectorAll("table.sortable").forEach(table => table.tHead.addEventListener("click", event => {
  const head = event.target.closest("th");
  if (head) sort(table, head.cellIndex);
}));

// --- the chosen planet ----------------------------------------------------------------------------------------------

const PLANETS = DATA.planets;
const list = document.getElementById("planet-table"), plot = document.getElementById("planet-plot");
const arrays = new Map();
const rowOf = (packed, row) => { // the arrays of all planets are unpacked when the first planet is drawn
  if (!arrays.has(packed)) arrays.set(packed, unpack(packed));
  return arrays.get(packed)[row];
};

function band(x, mu, sigma, factor, fill, group) {
  const low = mu.map((value, i) => value - factor * sigma[i]), high = mu.map((value, i) => value + factor * sigma[i]);
  return {x: [...x, ...[...x].reverse()], y: [...low, ...high.reverse()], xaxis: "x2", fill: "toself", mode: "none",
    fillcolor: fill, hoverinfo: "skip", showlegend: false, legendgroup: group};
}

function spectrum(row) { // traces of a planet
  const wavelength = unpack(PLANETS.wavelength), airs = wavelength.slice(1), traces = [], residuals = [];
  const truth = PLANETS.truth && rowOf(PLANETS.truth, row), known = truth && truth[0] !== null;
  PLANETS.entries.forEach((entry, place) => {
    const mu = rowOf(entry.mu, row), sigma = rowOf(entry.sigma, row), name = entry.name, fill = `§c${place % 6}/`;
    const shared = {name, legendgroup: name}, ink = `§c${place % 6}`;
    if (entry.wide) traces.push(band(airs, mu.slice(1), sigma.slice(1), 2, fill + "0.13", name));
    traces.push(band(airs, mu.slice(1), sigma.slice(1), 1, fill + "0.25", name));
    traces.push({...shared, x: airs, y: mu.slice(1), xaxis: "x2", mode: "lines", customdata: sigma.slice(1),
      line: {color: ink, width: 2, dash: entry.dash}, hovertemplate: "%{x:.3f} µm: %{y:.1f} ± %{customdata:.1f} ppm"});
    traces.push({...shared, x: [wavelength[0]], y: [mu[0]], mode: "markers", showlegend: false,
      marker: {color: ink, size: 8}, error_y: {type: "data", array: [sigma[0]], width: 4, color: ink},
      hovertemplate: `FGS1: %{y:.1f} ± ${sigma[0].toFixed(1)} ppm`});
    if (!known) return;
    const z = mu.map((value, i) => (value - truth[i]) / sigma[i]);
    const marker = {color: ink, size: 4, symbol: ["circle", "diamond", "square", "cross"][place % 4]};
    const about = {...shared, mode: "markers", marker, yaxis: "y2", showlegend: false, hovertemplate: "%{y:.2f} σ"};
    residuals.push({...about, x: airs, y: z.slice(1), xaxis: "x2"}, {...about, x: [wavelength[0]], y: [z[0]]});
  });
  if (known) {
    const shared = {name: "truth", legendgroup: "truth", hovertemplate: "truth %{y:.1f} ppm<extra></extra>"};
    traces.push({...shared, x: airs, y: truth.slice(1), xaxis: "x2", mode: "lines", line: {color: "§ink", width: 1.5}});
    traces.push({...shared, x: [wavelength[0]], y: [truth[0]], mode: "markers", showlegend: false,
      marker: {color: "§ink", size: 9, symbol: "line-ew-open", line: {width: 2}}});
  }
  return [...traces, ...residuals];
}

const cellsOf = line => // heads and texts of a planet's row
  [...list.tHead.rows[0].cells].map((head, i) => [head.textContent, line.cells[i].textContent]).slice(1);

function fit(line) { // how a planet's fit ended, where there is something to say
  const said = cellsOf(line).filter(([head, text]) => /^(fit|notes)\b/.test(head) && !["ok", "–"].includes(text));
  return said.map(([head, text]) => PLANETS.entries.length > 1 ? `${head}: ${text}` : text).join(" · ");
}

function facts(line) { // of a planet, from its row: its scores, and without them the first columns
  const cells = cellsOf(line);
  const several = PLANETS.entries.length > 1, scores = cells.filter(([head]) => head.startsWith("score 2024"));
  const chosen = several && scores.length ? scores : cells.slice(0, 4);
  return chosen.map(([head, text]) => head.endsWith(", ppm") ? `${head.slice(0, -5)} ${text} ppm` : `${head} ${text}`);
}

function show(id, scroll) {
  const row = PLANETS.ids.indexOf(id);
  if (row < 0) return;
  for (const line of list.tBodies[0].rows) {
    const own = line.cells[0].textContent === String(id);
    line.classList.toggle("chosen", own);
    if (own) line.setAttribute("aria-current", "true"); else line.removeAttribute("aria-current");
    if (!own) continue;
    document.getElementById("chosen").textContent = [`Planet ${id}`, ...facts(line)].join(" · ");
    document.getElementById("chosen-fit").textContent = fit(line);
    const box = list.closest(".scroll"), top = line.offsetTop - list.tHead.offsetHeight;
    const below = top + line.offsetHeight - box.clientHeight + 40;
    if (top < box.scrollTop || below > box.scrollTop) box.scrollTop = top - 60;
  }
  plot.dataset.planet = id;
  draw(plot, spectrum(row), PLANETS.layout);
  if (scroll) document.getElementById("chosen").scrollIntoView({block: "start"});
}

function step(by) {
  const rows = [...list.tBodies[0].rows].filter(row => !row.hidden);
  const at = rows.findIndex(row => row.classList.contains("chosen"));
  const next = rows[Math.min(Math.max(at + by, 0), rows.length - 1)];
  if (next) location.hash = "planet-" + next.cells[0].textContent;
}

if (list) {
  for (const row of list.tBodies[0].rows) {
    const cell = row.cells[0], link = document.createElement("a");
    link.href = "#planet-" + cell.textContent;
    link.textContent = cell.textContent;
    cell.replaceChildren(link);
  }
  list.tBodies[0].addEventListener("click", event => {
    const row = event.target.closest("tr");
    if (row && !event.target.closest("a")) location.hash = "planet-" + row.cells[0].textContent;
  });
  document.getElementById("previous").addEventListener("click", () => step(-1));
  document.getElementById("next").addEventListener("click", () => step(1));
  document.getElementById("find").addEventListener("input", event => {
    const wanted = event.target.value.trim();
    for (const row of list.tBodies[0].rows) row.hidden = !row.cells[0].textContent.includes(wanted);
  });
  const chosen = () => /^#planet-(\d+)$/.exec(location.hash)?.[1];
  let inside = false; // a click in the table leaves the page where it is
  for (const id of ["planet-table", "previous", "next"])
    document.getElementById(id).addEventListener("click", () => { inside = true; });
  addEventListener("hashchange", () => {
    if (chosen()) show(Number(chosen()), !inside);
    inside = false;
  });
  const first = list.tBodies[0].rows[0]?.cells[0].textContent;
  show(Number(chosen() ?? first), Boolean(chosen()));
}
document.documentElement.dataset.ready = "yes";
})();
