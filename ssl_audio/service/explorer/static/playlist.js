// The playlist: built by clicking, reordered, continued by the service, downloaded as M3U.
import { complete } from "./api.js";
import { byId, element, say } from "./dom.js";
import { download } from "./m3u.js";
import { title } from "./names.js";
import { TrackRow } from "./rows.js";

const KEY = "ssl_audio playlist", LENGTHS = [5, 10, 20, 50];

const button = (label, text, click, style = "icon") =>
  element("button", { type: "button", class: style, "aria-label": label, title: label, on: { click } }, text);

export class Playlist extends EventTarget {
  // events: "change" when its tracks change, "choose" with an id in `detail`
  constructor(player) {
    super();
    this.player = player;
    this.panel = byId("playlist");
    this.rows = new Map(); // by id
    this.added = new Set(); // by the last continuation
    this.ids = stored();
    this.setUp();
    player.addEventListener("change", () => this.rows.forEach((row) => row.show()));
    player.audio.addEventListener("ended", () => this.playNext());
  }

  setUp() {
    this.list = element("ol", { class: "rows", "aria-label": "tracks of the playlist", on: {
      keydown: (event) => this.key(event),
      dragover: (event) => this.dragged(event),
      drop: (event) => { event.preventDefault(); event.stopPropagation(); this.dropped(); },
    } });
    this.count = element("span", { class: "soft" });
    this.empty = element("p", { class: "soft" }, "Add tracks with +, or with ", element("kbd", {}, "a"),
      ". Then let the service continue the playlist.");
    this.length = element("select", { "aria-label": "tracks to add" },
      ...LENGTHS.map((length) => element("option", { selected: length === 10 }, String(length))));
    this.more = button("continue the playlist (c)", "Continue", () => this.continue(), "primary");
    this.save = button("download as M3U (e)", "Export M3U", () => this.export(), "");
    this.clear = button("remove all tracks", "Clear", () => this.empties(), "quiet");
    this.result = element("p", { class: "soft result", role: "status" });
    this.panel.replaceChildren(element("div", { class: "heading" }, element("h2", {}, "Playlist"), this.count, this.clear),
      this.empty, this.list, this.result,
      element("div", { class: "buttons" }, this.more, this.length, element("span", { class: "space" }), this.save));
    this.show();
  }

  add(ids) {
    if (!this.ids.length) this.result.textContent = "";
    const fresh = [...new Set(ids)].filter((id) => !this.ids.includes(id));
    if (fresh.length) this.set([...this.ids, ...fresh]);
    else say("this is in the playlist already");
  }

  set(ids) {
    this.ids = ids;
    localStorage.setItem(KEY, JSON.stringify(ids));
    this.show();
    this.dispatchEvent(new Event("change"));
  }

  // Remove all tracks, and offer to take that back.
  empties() {
    const before = this.ids;
    this.set([]);
    this.result.replaceChildren(element("button", {
      type: "button", class: "quiet", on: { click: () => { this.result.textContent = ""; this.set(before); } },
    }, "Undo: take the tracks back"));
  }

  remove(id) {
    const at = this.ids.indexOf(id);
    this.set(this.ids.filter((own) => own !== id));
    const next = this.ids[Math.min(at, this.ids.length - 1)];
    if (next) this.rows.get(next).node.querySelector(".name").focus();
  }

  // Move a track by some places; the focus goes with it.
  move(id, by) {
    const at = this.ids.indexOf(id), to = Math.max(0, Math.min(this.ids.length - 1, at + by));
    if (at < 0 || at === to) return;
    const focused = document.activeElement, ids = this.ids.filter((own) => own !== id);
    ids.splice(to, 0, id);
    this.set(ids);
    focused?.focus();
  }

  key(event) {
    const id = event.target.closest(".row")?.dataset.id;
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!id || !(event.key === "Delete" || (by && event.altKey))) return;
    event.preventDefault();
    if (by) this.move(id, by); else this.remove(id);
  }

  dragged(event) {
    if (!this.dragging) return;
    event.preventDefault();
    event.stopPropagation();
    const over = event.target.closest?.(".row");
    if (!over || over === this.dragging) return;
    const { top, height } = over.getBoundingClientRect();
    over[event.clientY < top + height / 2 ? "before" : "after"](this.dragging);
  }

  dropped() {
    if (this.dragging) this.set([...this.list.children].map((row) => row.dataset.id));
  }

  row(id) {
    const label = title(id), actions = [
      button(`move ${label} up`, "↑", () => this.move(id, -1)),
      button(`move ${label} down`, "↓", () => this.move(id, 1)),
      button(`remove ${label}`, "×", () => this.remove(id)),
    ];
    const choose = (chosen) => this.dispatchEvent(new CustomEvent("choose", { detail: chosen }));
    const made = new TrackRow(id, this.player, { choose, wave: false, actions });
    made.node.draggable = true;
    made.node.addEventListener("dragstart", (event) => {
      event.dataTransfer.setData("text/plain", id);
      event.dataTransfer.effectAllowed = "move";
      this.dragging = made.node;
    });
    made.node.addEventListener("dragend", () => { this.dragging = null; this.show(); });
    return made;
  }

  show() {
    const rows = new Map(this.ids.map((id) => [id, this.rows.get(id) ?? this.row(id)]));
    this.rows = rows;
    this.list.replaceChildren(...[...rows.values()].map((row) => row.node));
    for (const [id, row] of rows) row.node.classList.toggle("new", this.added.has(id));
    const count = this.ids.length;
    this.count.textContent = count ? `${count} track${count > 1 ? "s" : ""}` : "";
    byId("tab-count").textContent = count || "";
    this.empty.hidden = count > 0;
    for (const one of [this.more, this.save, this.clear]) one.disabled = !count;
  }

  async continue() {
    if (!this.ids.length) return say("add a track to the playlist first");
    this.more.disabled = true;
    this.result.textContent = "…";
    try {
      const { model, ids, unknown } = await complete(this.ids, Number(this.length.value));
      this.added = new Set(ids);
      this.add(ids);
      const missing = unknown?.length ? `; ${unknown.length} of yours are unknown to it` : "";
      this.result.textContent = `${ids.length} tracks added by ${model}${missing}`;
    } catch (error) {
      this.result.textContent = "";
      say(error.message);
    } finally {
      this.more.disabled = !this.ids.length;
    }
  }

  export() {
    if (!this.ids.length) return say("the playlist is empty");
    return download(this.ids).catch((error) => say(error.message));
  }

  playNext() {
    const at = this.ids.findIndex((id) => this.player.is({ id }));
    if (at >= 0 && at + 1 < this.ids.length) this.player.play({ id: this.ids[at + 1] });
  }
}

function stored() {
  try {
    const ids = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(ids) ? [...new Set(ids.filter((id) => typeof id === "string"))] : [];
  } catch {
    return [];
  }
}
