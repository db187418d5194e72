"use strict";
// Draws every chart of the page from the data that lies in it; asks nothing of anyone else.
const DATA = JSON.parse(document.getElementById("data").textContent);
const NAMES = { roc_auc: "ROC-AUC", map: "mAP" };
const SVG = "http://www.w3.org/2000/svg";
const tooltip = document.getElementById("tooltip");

function element(name, attributes = {}, text = null) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}
function colour(k) { return DATA.colours[k % DATA.colours.length]; }
function shown(v, digits = 3) { return v === null || v === undefined ? "–" : v.toFixed(digits); }
function showTip(text, event) {
  tooltip.textContent = text;
  tooltip.style.left = Math.min(event.clientX + 14, innerWidth - 330) + "px";
  tooltip.style.top = event.clientY + 14 + "px";
  tooltip.classList.add("on");
}
function hideTip() { tooltip.classList.remove("on"); }
function tips(node, text) {
  node.addEventListener("mousemove", (event) => showTip(text, event));
  node.addEventListener("mouseleave", hideTip);
  node.append(element("title", {}, text));
  return node;
}
function span(values, pad = 0.06) {
  if (!values.length) return [0, 1];
  const low = Math.min(...values), high = Math.max(...values);
  const room = (high - low || 0.02) * pad;
  return [low - room, high + room];
}
function ticks([low, high], count = 5) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= raw);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + 1e-12; v += step) found.push(v);
  return found;
}
function frame(width, height, label) {
  return element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}
function xAxis(svg, range, [left, right], bottom, top, label, scale) {
  for (const tick of ticks(range)) {
    const x = scale(tick);
    svg.append(element("line", { class: "axis", x1: x, x2: x, y1: top, y2: bottom }));
    svg.append(element("text", { class: "tick", x, y: bottom + 14, "text-anchor": "middle" }, +tick.toFixed(4)));
  }
  svg.append(element("text", { class: "axis-label", x: (left + right) / 2, y: bottom + 30, "text-anchor": "middle" }, label));
}

// Figure 1 of the paper: a dot a resample, a diamond at their mean
function dots(run, metric) {
  const systems = run.systems, row = 24, left = 150, right = 500, top = 8;
  const bottom = top + row * systems.length, svg = frame(520, bottom + 38, NAMES[metric]);
  const range = span(systems.flatMap((s) => s[metric].resamples.filter((v) => v !== null)));
  const x = (v) => left + ((v - range[0]) / (range[1] - range[0])) * (right - left);
  xAxis(svg, range, [left, right], bottom, top, NAMES[metric], x);
  systems.forEach((system, k) => {
    const y = top + row * (k + 0.5);
    svg.append(element("text", { x: left - 10, y: y + 4, "text-anchor": "end" }, system.name.slice(-24)));
    system[metric].resamples.forEach((v) => {
      if (v !== null) svg.append(element("circle", { cx: x(v), cy: y, r: 3, fill: colour(k), opacity: 0.28 }));
    });
    if (system[metric].mean === null) return;
    const m = x(system[metric].mean);
    const mark = element("path", { d: `M${m} ${y - 7}l6 7l-6 7l-6 -7z`, fill: colour(k), stroke: "var(--paper)" });
    svg.append(tips(mark, `${system.name}: ${shown(system[metric].mean)} ± ${shown(system[metric].std)} (whole test set ${shown(system[metric].test)})`));
  });
  return svg;
}

// Figure 2 of the paper: what a part of the labels gives
function curves(run, part, metric) {
  const key = part === "limited" ? "fraction" : "shots";
  const lines = run.systems.map((s, k) => ({ s, k })).filter(({ s }) => s[part].length);
  const points = lines.map(({ s, k }) => {
    const of = s[part].map((p) => ({ x: p[key] * (part === "limited" ? 100 : 1), values: p[metric].filter((v) => v !== null), rows: p.rows }));
    if (part === "limited") of.push({ x: 100, values: [s[metric].test].filter((v) => v !== null), rows: run.dataset.counts.train });
    return { k, name: s.name, of: of.filter((p) => p.values.length).map((p) => ({ ...p, y: p.values.reduce((a, b) => a + b, 0) / p.values.length })) };
  }).filter((line) => line.of.length);
  const left = 46, right = 400, top = 8, bottom = 240, svg = frame(520, 280, `${NAMES[metric]} by labels`);
  const xs = points.flatMap((l) => l.of.map((p) => Math.log(p.x))), xr = span(xs, 0.04);
  const yr = span(points.flatMap((l) => l.of.flatMap((p) => p.values)));
  const x = (v) => left + ((Math.log(v) - xr[0]) / (xr[1] - xr[0] || 1)) * (right - left);
  const y = (v) => bottom - ((v - yr[0]) / (yr[1] - yr[0])) * (bottom - top);
  for (const tick of ticks(yr)) {
    svg.append(element("line", { class: "axis", x1: left, x2: right, y1: y(tick), y2: y(tick) }));
    svg.append(element("text", { class: "tick", x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, +tick.toFixed(3)));
  }
  for (const value of new Set(points.flatMap((l) => l.of.map((p) => p.x)))) {
    svg.append(element("text", { class: "tick", x: x(value), y: bottom + 14, "text-anchor": "middle" }, value));
  }
  const label = part === "limited" ? "training labels, %" : "positives a tag";
  svg.append(element("text", { class: "axis-label", x: (left + right) / 2, y: bottom + 32, "text-anchor": "middle" }, `${NAMES[metric]} by ${label}`));
  const ends = [];
  for (const line of points) {
    const d = line.of.map((p, i) => `${i ? "L" : "M"}${x(p.x)} ${y(p.y)}`).join("");
    svg.append(element("path", { d, fill: "none", stroke: colour(line.k), "stroke-width": 1.8 }));
    for (const p of line.of) {
      const low = y(Math.min(...p.values)), high = y(Math.max(...p.values));
      svg.append(element("line", { x1: x(p.x), x2: x(p.x), y1: low, y2: high, stroke: colour(line.k), opacity: 0.5 }));
      const mark = element("circle", { cx: x(p.x), cy: y(p.y), r: 4, fill: colour(line.k) });
      svg.append(tips(mark, `${line.name}, ${p.rows} tracks: ${shown(p.y)} (${p.values.length} draws, ${shown(Math.min(...p.values))} to ${shown(Math.max(...p.values))})`));
    }
    ends.push({ y: y(line.of.at(-1).y), line });
  }
  ends.sort((a, b) => a.y - b.y);
  let last = -20;
  for (const { y: at, line } of ends) {
    last = Math.max(at, last + 12);
    svg.append(element("text", { x: right + 8, y: last + 4, style: `fill:${colour(line.k)}` }, line.name.slice(0, 20)));
  }
  return svg;
}

function tagBars(run, box) {
  const [systemSelect, metricSelect, orderSelect] = box.querySelectorAll("select");
  const chart = box.querySelector(".chart");
  const draw = () => {
    const k = +systemSelect.value, system = run.systems[k], metric = metricSelect.value;
    const rows = Object.entries(system.per_tag).map(([tag, f]) => ({ tag, positives: f.positives, ...f[metric] }));
    const order = { score: (a, b) => (b.mean ?? -1) - (a.mean ?? -1), frequency: (a, b) => b.positives - a.positives, name: (a, b) => a.tag.localeCompare(b.tag) };
    rows.sort(order[orderSelect.value]);
    const left = 190, right = 860, height = 17, svg = frame(940, rows.length * height + 40, "figures of each tag");
    const x = (v) => left + v * (right - left), bottom = rows.length * height + 4;
    xAxis(svg, [0, 1], [left, right], bottom, 4, NAMES[metric], x);
    rows.forEach((row, i) => {
      const y = 4 + i * height;
      svg.append(element("text", { x: left - 8, y: y + 12, "text-anchor": "end" }, row.tag.slice(0, 28)));
      if (row.mean === null) return;
      const bar = element("rect", { x: left, y: y + 2, width: x(row.mean) - left, height: height - 5, fill: colour(k), opacity: 0.85 });
      svg.append(tips(bar, `${row.tag}: ${shown(row.mean)} ± ${shown(row.std)}, ${row.positives} positives in the test set`));
      svg.append(element("line", { x1: x(Math.max(0, row.mean - row.std)), x2: x(Math.min(1, row.mean + row.std)), y1: y + 8, y2: y + 8, stroke: "var(--ink)" }));
      svg.append(element("text", { class: "tick", x: right + 8, y: y + 12 }, `${row.positives} positives`));
    });
    chart.replaceChildren(svg);
  };
  for (const select of [systemSelect, metricSelect, orderSelect]) select.addEventListener("change", draw);
  draw();
}

function reliability(run) {
  const left = 46, right = 400, top = 8, bottom = 300, svg = frame(520, 340, "reliability");
  const x = (v) => left + v * (right - left), y = (v) => bottom - v * (bottom - top);
  xAxis(svg, [0, 1], [left, right], bottom, top, "predicted probability", x);
  for (const tick of [0, 0.5, 1]) svg.append(element("text", { class: "tick", x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, tick));
  svg.append(element("line", { class: "axis", x1: x(0), y1: y(0), x2: x(1), y2: y(1), "stroke-dasharray": "4 4" }));
  run.systems.forEach((system, k) => {
    if (!system.calibration) return;
    const bins = system.calibration.bins;
    svg.append(element("path", { d: bins.map((b, i) => `${i ? "L" : "M"}${x(b.confidence)} ${y(b.frequency)}`).join(""), fill: "none", stroke: colour(k), "stroke-width": 1.5 }));
    for (const b of bins) svg.append(tips(element("circle", { cx: x(b.confidence), cy: y(b.frequency), r: 3, fill: colour(k) }), `${system.name}: said ${shown(b.confidence, 2)}, was ${shown(b.frequency, 2)} (${b.count} cases)`));
    svg.append(element("text", { x: right + 8, y: top + 14 + 14 * k, style: `fill:${colour(k)}` }, `${system.name.slice(0, 18)} ${shown(system.calibration.ece)}`));
  });
  return svg;
}

// The map: the nearest track to the pointer is named; a click, or Enter, plays it
function trackMap(run, box) {
  const map = run.map, canvas = box.querySelector("canvas"), select = box.querySelector("select");
  const status = box.querySelector(".status"), audio = box.querySelector("audio");
  const context = canvas.getContext("2d"), xr = span(map.x, 0.04), yr = span(map.y, 0.04);
  let zoom = 1, shift = [0, 0], current = -1, drag = null;
  const place = (i) => {
    const u = (map.x[i] - xr[0]) / (xr[1] - xr[0]), v = 1 - (map.y[i] - yr[0]) / (yr[1] - yr[0]);
    return [(u * zoom + shift[0]) * canvas.width, (v * zoom + shift[1]) * canvas.height];
  };
  const has = (i) => select.value === "" || map.tags[i].includes(+select.value);
  const draw = () => {
    const ratio = devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    context.clearRect(0, 0, canvas.width, canvas.height);
    const style = getComputedStyle(document.body), radius = (map.x.length > 2000 ? 2.2 : 4) * ratio;
    for (const wanted of [false, true]) {
      for (let i = 0; i < map.x.length; i++) {
        if (has(i) !== wanted) continue;
        const [px, py] = place(i);
        context.beginPath();
        context.arc(px, py, radius, 0, 7);
        context.globalAlpha = wanted ? 0.85 : 0.25;
        context.fillStyle = wanted ? DATA.colours[0] : style.getPropertyValue("--soft");
        if (wanted && select.value !== "") context.fillStyle = DATA.colours[1];
        context.fill();
      }
    }
    context.globalAlpha = 1;
    if (current >= 0) {
      const [px, py] = place(current);
      context.beginPath();
      context.arc(px, py, radius * 1.9, 0, 7);
      context.lineWidth = 2 * ratio;
      context.strokeStyle = style.getPropertyValue("--ink");
      context.stroke();
    }
  };
  const name = (i) => `${map.ids[i]} · ${map.tags[i].map((t) => run.dataset.tags[t]).join(", ")}`;
  const nearest = (event) => {
    const bounds = canvas.getBoundingClientRect(), ratio = canvas.width / bounds.width;
    const mx = (event.clientX - bounds.left) * ratio, my = (event.clientY - bounds.top) * ratio;
    let best = -1, least = (24 * ratio) ** 2;
    for (let i = 0; i < map.x.length; i++) {
      const [px, py] = place(i), d = (px - mx) ** 2 + (py - my) ** 2;
      if (d < least) { least = d; best = i; }
    }
    return best;
  };
  const choose = (i) => { if (i !== current) { current = i; draw(); } status.textContent = i < 0 ? "" : name(i); };
  const play = () => {
    if (current < 0) return;
    const playing = current;
    audio.hidden = false;
    audio.src = map.urls[playing];
    audio.play().catch(() => { audio.hidden = true; status.textContent = `${name(playing)} — cannot be played here: its audio is not at ${map.paths[playing]}`; });
  };
  canvas.addEventListener("mousemove", (event) => {
    if (drag) {
      const bounds = canvas.getBoundingClientRect();
      shift = [drag.shift[0] + (event.clientX - drag.x) / bounds.width, drag.shift[1] + (event.clientY - drag.y) / bounds.height];
      drag.moved = drag.moved || Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 4;
      return draw();
    }
    const i = nearest(event);
    choose(i);
    if (i >= 0) showTip(name(i), event); else hideTip();
  });
  canvas.addEventListener("mouseleave", () => { hideTip(); drag = null; });
  canvas.addEventListener("mousedown", (event) => { drag = { x: event.clientX, y: event.clientY, shift: [...shift], moved: false }; });
  canvas.addEventListener("mouseup", (event) => { const moved = drag && drag.moved; drag = null; if (!moved) { choose(nearest(event)); play(); } });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const bounds = canvas.getBoundingClientRect(), factor = event.deltaY < 0 ? 1.2 : 1 / 1.2;
    const u = (event.clientX - bounds.left) / bounds.width, v = (event.clientY - bounds.top) / bounds.height;
    const next = Math.min(40, Math.max(1, zoom * factor)), by = next / zoom;
    shift = [u - (u - shift[0]) * by, v - (v - shift[1]) * by];
    zoom = next;
    if (zoom === 1) shift = [0, 0];
    draw();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) { event.preventDefault(); choose((current + step + map.x.length) % map.x.length); }
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); play(); }
  });
  box.querySelector("button").addEventListener("click", () => { zoom = 1; shift = [0, 0]; draw(); });
  // a map in one colour says little: begin with the tag that parts the tracks most evenly
  const half = run.dataset.tags.map((_, t) => Math.abs(map.tags.filter((own) => own.includes(t)).length - map.x.length / 2));
  if (half.length) select.value = String(half.indexOf(Math.min(...half)));
  select.addEventListener("change", draw);
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}

// A line by training step
function line(title, steps, values, k) {
  const left = 52, right = 400, top = 20, bottom = 190, svg = frame(420, 230, title);
  const xr = span(steps, 0.01), yr = span(values);
  const x = (v) => left + ((v - xr[0]) / (xr[1] - xr[0])) * (right - left);
  const y = (v) => bottom - ((v - yr[0]) / (yr[1] - yr[0])) * (bottom - top);
  xAxis(svg, xr, [left, right], bottom, top, "step", x);
  for (const tick of ticks(yr, 4)) {
    svg.append(element("line", { class: "axis", x1: left, x2: right, y1: y(tick), y2: y(tick) }));
    svg.append(element("text", { class: "tick", x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, +tick.toFixed(4)));
  }
  svg.append(element("text", { x: left, y: 12, style: `fill:${colour(k)}` }, title));
  svg.append(element("path", { d: values.map((v, i) => `${i ? "L" : "M"}${x(steps[i])} ${y(v)}`).join(""), fill: "none", stroke: colour(k), "stroke-width": 1.5 }));
  const last = element("circle", { cx: x(steps.at(-1)), cy: y(values.at(-1)), r: 4, fill: colour(k) });
  svg.append(tips(last, `${title} at step ${steps.at(-1)}: ${shown(values.at(-1), 4)}`));
  return svg;
}

function losses(run, box) {
  const select = box.querySelector("select"), charts = box.querySelector(".charts");
  const draw = () => {
    const { step, terms } = run.losses[select.value];
    charts.replaceChildren(...Object.entries(terms).map(([name, values], k) => line(name, step, values, k)));
  };
  select.addEventListener("change", draw);
  draw();
}

// Figure 1 of MUSIG: how co-occurrence goes with sound
function correlation(run) {
  const { similarity, co_occurrence: common, of } = run.correlation;
  const left = 52, right = 500, top = 8, bottom = 300, svg = frame(520, 340, "co-occurrence by sound");
  const xr = span(similarity, 0.02), yr = span(common, 0.02);
  const x = (v) => left + ((v - xr[0]) / (xr[1] - xr[0])) * (right - left);
  const y = (v) => bottom - ((v - yr[0]) / (yr[1] - yr[0])) * (bottom - top);
  xAxis(svg, xr, [left, right], bottom, top, of, x);
  for (const tick of ticks(yr)) {
    svg.append(element("line", { class: "axis", x1: left, x2: right, y1: y(tick), y2: y(tick) }));
    svg.append(element("text", { class: "tick", x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, +tick.toFixed(4)));
  }
  svg.append(element("text", { class: "axis-label", x: left, y: top + 2 }, "playlists in common, %"));
  similarity.forEach((v, i) => svg.append(element("circle", { cx: x(v), cy: y(common[i]), r: 2, fill: colour(0), opacity: 0.35 })));
  return svg;
}

DATA.runs.forEach((run, r) => {
  const section = document.getElementById(`run-${r}`);
  for (const box of section.querySelectorAll("[data-chart]")) {
    const [kind, metric] = box.dataset.chart.split(" ");
    if (kind === "dots") box.append(dots(run, metric));
    if (kind === "limited" || kind === "few_shot") box.append(curves(run, kind, metric));
    if (kind === "reliability") box.append(reliability(run));
    if (kind === "tags") tagBars(run, box);
    if (kind === "map") trackMap(run, box);
    if (kind === "losses") losses(run, box);
    if (kind === "correlation") box.append(correlation(run));
  }
});
