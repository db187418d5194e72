// The map of the catalogue: pan and zoom, the track under the pointer, the tracks that are marked.
import { byId, colour, element, prepared } from "./dom.js";
import { folder, title } from "./names.js";
import { Points } from "./points.js";
import { hideTip, showTip } from "./tooltip.js";
import { KDBush, select, zoom, zoomIdentity } from "./vendor/libraries.min.js";

const MARGIN = 26, BARS = 56; // pixels around the points: at the sides; above and below, for controls
const REACH = 18, MAX_ZOOM = 400; // pixels, times

export class TrackMap extends EventTarget {
  // events: "choose" with the id of a track in `detail`
  constructor() {
    super();
    this.canvas = byId("points");
    this.transform = zoomIdentity;
    this.ids = [];
    this.row = new Map();
    this.current = -1; // row under the pointer, or chosen by keys
    this.marked = { track: null, neighbours: [], playlist: [] };
    this.shown = -1; // the only group in colour
    try {
      this.points = new Points(this.canvas);
    } catch {
      byId("map").classList.add("off");
      this.note("This browser shows no WebGL, which the map needs. Search, listening and playlists work without it.");
      return;
    }
    this.setUp();
  }

  note(text) { byId("map-note").textContent = text; }

  setUp() {
    const { canvas } = this;
    this.zoom = zoom().scaleExtent([1, MAX_ZOOM]).clickDistance(4).on("zoom", (event) => {
      this.transform = event.transform;
      this.draw();
    });
    select(canvas).call(this.zoom).on("dblclick.zoom", null);
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) return hideTip();
      this.current = this.nearest(event.offsetX, event.offsetY);
      canvas.classList.toggle("over", this.current >= 0);
      if (this.current >= 0) this.tip(event); else hideTip();
      this.drawMarks();
    });
    canvas.addEventListener("pointerleave", () => { this.current = -1; hideTip(); this.drawMarks(); });
    canvas.addEventListener("click", (event) => this.choose(this.nearest(event.offsetX, event.offsetY)));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", hideTip);
    byId("zoom-in").addEventListener("click", () => this.scaleBy(2));
    byId("zoom-out").addEventListener("click", () => this.scaleBy(0.5));
    byId("zoom-all").addEventListener("click", () => this.whole());
    byId("colouring").addEventListener("change", () => this.colourBy(byId("colouring").selectedIndex));
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  // columns: of `/map`
  set(columns) {
    if (!this.points) return;
    const { x, y, ids, colourings, method } = columns, full = 65_535;
    this.ids = ids;
    this.row = new Map(ids.map((id, row) => [id, row]));
    this.places = new Float32Array(2 * ids.length);
    this.index = ids.length ? new KDBush(ids.length, 64, Float32Array) : null;
    for (let row = 0; row < ids.length; row++) {
      this.places[2 * row] = x[row] / full;
      this.places[2 * row + 1] = 1 - y[row] / full;
      this.index.add(this.places[2 * row], this.places[2 * row + 1]);
    }
    this.index?.finish();
    this.colourings = colourings;
    this.points.set(this.places, new Float32Array(ids.length));
    const choice = byId("colouring"), chosen = Math.max(0, choice.selectedIndex), { shown } = this;
    choice.replaceChildren(...colourings.map(({ name }, k) => element("option", { selected: k === chosen }, name)));
    byId("colour-by").hidden = colourings.length < 2;
    this.note("");
    this.canvas.title = "";
    byId("map").dataset.tracks = ids.length;
    byId("map").dataset.method = method;
    this.colourBy(chosen);
    if (shown >= 0) this.showOnly(shown);
    this.resize();
  }

  colourBy(number) {
    const colouring = this.colourings[number];
    this.shown = -1;
    this.points.setGroups(new Float32Array(colouring ? colouring.values : this.ids.length));
    const chips = (colouring?.groups ?? []).map((name, k) => element("button", {
      type: "button", "aria-pressed": "false", on: { click: () => this.showOnly(k) },
    }, element("span", { class: `chip s${k}` }), name || "no folder"));
    byId("legend").replaceChildren(...chips);
    this.recolour();
  }

  showOnly(group) {
    this.shown = this.shown === group ? -1 : group;
    [...byId("legend").children].forEach((chip, k) => chip.setAttribute("aria-pressed", k === this.shown));
    this.draw();
  }

  recolour() {
    if (!this.points) return;
    const series = Array.from({ length: 10 }, (_, k) => colour(`--series-${k}`));
    this.points.setPalette([...series, colour("--soft"), colour("--soft")]);
    this.draw();
  }

  resize() {
    const { canvas } = this, size = [canvas.clientWidth, canvas.clientHeight];
    this.zoom.extent([[0, 0], size]).translateExtent([[0, 0], size]);
    this.draw();
  }

  // left + scale.x * x is where a place of the map is on the screen
  get view() {
    const { k, x, y } = this.transform;
    const width = this.canvas.clientWidth - 2 * MARGIN, height = this.canvas.clientHeight - 2 * BARS;
    return {
      zoom: k, shown: this.shown, left: x + k * MARGIN, top: y + k * BARS,
      scale: { x: k * width, y: k * height },
    };
  }

  screen(row, view = this.view) {
    return [view.left + view.scale.x * this.places[2 * row], view.top + view.scale.y * this.places[2 * row + 1]];
  }

  nearest(px, py) {
    if (!this.index) return -1;
    const { left, top, scale } = this.view, x = (px - left) / scale.x, y = (py - top) / scale.y;
    const dx = REACH / scale.x, dy = REACH / scale.y;
    let best = -1, smallest = REACH ** 2;
    for (const row of this.index.range(x - dx, y - dy, x + dx, y + dy)) {
      const away = ((this.places[2 * row] - x) * scale.x) ** 2 + ((this.places[2 * row + 1] - y) * scale.y) ** 2;
      if (away < smallest) { smallest = away; best = row; }
    }
    return best;
  }

  choose(row) {
    if (row < 0) return;
    this.current = row;
    this.dispatchEvent(new CustomEvent("choose", { detail: this.ids[row] }));
  }

  tip(event) {
    const id = this.ids[this.current], where = folder(id);
    showTip(where ? `${title(id)} — ${where}` : title(id), event);
  }

  key(event) {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (step) this.walk(...step);
    else if (event.key === "Enter") this.choose(this.current);
    else if (event.key === "+" || event.key === "=") this.scaleBy(2);
    else if (event.key === "-") this.scaleBy(0.5);
    else if (event.key === "0") this.whole();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // To the nearest track in a direction, within 45 degrees of it; looked for ever farther away.
  walk(dx, dy) {
    if (!this.ids.length) return;
    const view = this.view, from = this.current >= 0 ? this.current : this.row.get(this.marked.track) ?? 0;
    const [fx, fy] = this.screen(from, view);
    let best = -1, smallest = Infinity;
    for (let reach = 40; best < 0 && reach < 1e5; reach *= 4) {
      const [x, y] = [(fx - view.left) / view.scale.x, (fy - view.top) / view.scale.y];
      const rx = reach / view.scale.x, ry = reach / view.scale.y;
      for (const row of this.index.range(x - rx, y - ry, x + rx, y + ry)) {
        const [px, py] = this.screen(row, view), ahead = (px - fx) * dx + (py - fy) * dy;
        const aside = Math.abs((px - fx) * dy) + Math.abs((py - fy) * dx);
        const away = ahead + 2 * aside;
        if (row !== from && ahead > 0 && aside <= ahead && away < smallest) { smallest = away; best = row; }
      }
      if (rx > 2 && ry > 2) break;
    }
    this.current = best < 0 ? from : best;
    this.intoView(this.current);
    const [left, top] = this.screen(this.current), bounds = this.canvas.getBoundingClientRect();
    this.tip({ clientX: bounds.left + left, clientY: bounds.top + top });
    this.drawMarks();
  }

  scaleBy(factor) { select(this.canvas).call(this.zoom.scaleBy, factor); }
  whole() { select(this.canvas).call(this.zoom.transform, zoomIdentity); }

  // Move the map where a track is outside of it.
  intoView(row) {
    const [x, y] = this.screen(row), { clientWidth, clientHeight } = this.canvas;
    if (x >= 0 && y >= 0 && x <= clientWidth && y <= clientHeight) return;
    const { k } = this.transform;
    select(this.canvas).call(this.zoom.translateBy, (clientWidth / 2 - x) / k, (clientHeight / 2 - y) / k);
  }

  // What is marked: the chosen track (or the neighbours of a file), its neighbours, the playlist.
  mark(changes) {
    Object.assign(this.marked, changes);
    if (!this.points) return;
    if (changes.track && this.row.has(changes.track)) this.intoView(this.row.get(changes.track));
    this.drawMarks();
  }

  draw() {
    if (!this.points?.palette) return;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => { this.points.draw(this.view); this.drawMarks(); });
  }

  drawMarks() {
    if (!this.points || !this.places) return;
    const { context, width, height } = prepared(byId("marks")), view = this.view;
    context.clearRect(0, 0, width, height);
    const places = (ids) => ids.filter((id) => this.row.has(id)).map((id) => this.screen(this.row.get(id), view));
    const ink = colour("--ink"), accent = colour("--accent"), paper = colour("--paper");
    const track = this.marked.track === null ? [] : places([this.marked.track]);
    const around = places(this.marked.neighbours), list = places(this.marked.playlist);
    context.lineWidth = 1;
    context.strokeStyle = accent;
    context.globalAlpha = 0.55;
    for (const [x, y] of around) if (track.length) line(context, [track[0], [x, y]]);
    context.globalAlpha = list.length > 12 ? 0.25 : 0.5;
    context.setLineDash([5, 4]);
    context.strokeStyle = ink;
    line(context, list);
    context.setLineDash([]);
    context.globalAlpha = 1;
    for (const place of list) ring(context, place, 5, ink, paper);
    for (const place of around) ring(context, place, 5, accent, paper);
    for (const place of track) ring(context, place, 8, paper, accent);
    if (this.current >= 0) ring(context, this.screen(this.current, view), 9, ink);
  }
}

function line(context, places) {
  context.beginPath();
  for (const [x, y] of places) context.lineTo(x, y);
  context.stroke();
}

function ring(context, [x, y], radius, stroke, fill = null) {
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  if (fill) { context.fillStyle = fill; context.fill(); }
  context.lineWidth = 2;
  context.strokeStyle = stroke;
  context.stroke();
}
