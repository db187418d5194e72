// What is known of a track, and what sounds like it: of the catalogue, or a file that is not in it.
import { details, neighbours, newTrack, waveform } from "./api.js";
import { bars } from "./bars.js";
import { byId, element } from "./dom.js";
import { clock, folder, title } from "./names.js";
import { name } from "./player.js";
import { TrackRow } from "./rows.js";
import { Waveform } from "./waveform.js";
import { filePeaks } from "./wav.js";

const TAGS = 10;

export class TrackPanel extends EventTarget {
  // events: "shown" with {track, neighbours} in `detail`
  constructor(player, playlist) {
    super();
    this.player = player;
    this.playlist = playlist;
    this.panel = byId("track");
    this.rows = [];
    this.current = null; // as in Player.track
    player.addEventListener("change", () => this.showPlaying());
    player.addEventListener("time", () => this.showTime());
    this.invite();
  }

  invite() {
    this.panel.replaceChildren(element("div", { class: "empty" },
      element("h2", {}, "What does it sound like?"),
      element("p", {}, "Click a point of the map, search by name, drop an audio file anywhere, or record a few seconds."),
      element("p", {}, "Tracks near each other on the map sound alike. Press ", element("kbd", {}, "?"), " for the keys.")));
  }

  // Show a track of the catalogue.
  async show(id) {
    const track = { id };
    this.current = track;
    this.head(track, title(id), folder(id) || "catalogue", [this.adding(id)]);
    this.dispatchEvent(new CustomEvent("shown", { detail: { track: id, neighbours: [] } }));
    waveform(id).then(({ peaks }) => this.is(track) && this.wave.set(peaks), () => this.wave.canvas.remove());
    const about = details(id).then((found) => this.is(track) && this.describe(found));
    const near = neighbours(id).then((found) => this.is(track) && this.list(found, id));
    for (const failed of (await Promise.allSettled([about, near])).filter((one) => one.reason)) {
      if (this.is(track)) this.fail(failed.reason);
    }
  }

  // Send a file to the service, and show what it says of it.
  async ask(file) {
    const track = { url: URL.createObjectURL(file), name: file.name };
    this.current = track;
    this.head(track, file.name, "not in the catalogue", []);
    this.about.replaceChildren(element("p", { class: "soft busy" }, "Listening to it…"));
    filePeaks(file).then((peaks) => this.is(track) && this.wave.set(peaks), () => this.wave.canvas.remove());
    try {
      const found = await newTrack(file);
      if (!this.is(track)) return;
      this.describe(found);
      this.list(found.neighbours, null);
      this.offer(found.playlist?.ids ?? []);
    } catch (error) {
      if (this.is(track)) this.fail(error);
    }
  }

  is(track) { return this.current === track; }

  head(track, heading, where, buttons) {
    const { player } = this;
    this.rows = [];
    this.wave = new Waveform(`waveform of ${heading}`, player, track);
    this.playing = element("button", {
      type: "button", class: "primary", on: { click: () => player.toggle(track) },
    });
    this.length = element("span");
    this.about = element("div", { class: "about" });
    this.near = element("div");
    this.panel.replaceChildren(
      element("h2", {}, heading), element("p", { class: "soft where" }, element("span", {}, where), this.length),
      this.wave.canvas, element("div", { class: "buttons" }, this.playing, ...buttons), this.about, this.near);
    this.panel.scrollTop = 0;
    this.showPlaying();
  }

  adding(id) {
    return element("button", { type: "button", on: { click: () => this.playlist.add([id]) } }, "Add to playlist");
  }

  describe({ seconds, tags, acoustic }) {
    if (seconds) this.length.textContent = clock(seconds);
    const parts = [];
    if (tags?.length) {
      const entries = tags.slice(0, TAGS)
        .map((tag) => ({ name: tag.name, value: tag.probability, strong: tag.present }));
      parts.push(element("section", {}, element("h3", {}, "Tags"), bars("probabilities of tags", entries)));
    }
    if (acoustic) {
      const entries = Object.entries(acoustic).map(([key, value]) => ({ name: key.replaceAll("_", " "), value }));
      parts.push(element("section", {}, element("h3", {}, "Acoustic features"), bars("acoustic features", entries)));
    }
    this.about.replaceChildren(...parts);
  }

  list(found, id) {
    this.rows = found.map((near) => new TrackRow(near.id, this.player, {
      similarity: near.similarity, choose: (chosen) => this.show(chosen),
      actions: [element("button", {
        type: "button", class: "icon", "aria-label": `add ${title(near.id)} to the playlist`, title: "add to the playlist",
        on: { click: () => this.playlist.add([near.id]) },
      }, "+")],
    }));
    this.near.replaceChildren(element("h3", {}, "Sounds alike"),
      found.length ? element("ul", { class: "rows", id: "neighbours" }, ...this.rows.map((row) => row.node))
        : element("p", { class: "soft" }, "The catalogue has no other track."));
    const detail = { track: id, neighbours: found.map((near) => near.id) };
    this.dispatchEvent(new CustomEvent("shown", { detail }));
  }

  offer(ids) {
    if (!ids.length) return;
    this.near.append(element("div", { class: "buttons" }, element("button", {
      type: "button", on: { click: () => this.playlist.add(ids) },
    }, `Add a playlist around it (${ids.length})`)));
  }

  fail(error) {
    this.panel.querySelector(".busy")?.remove();
    this.about.append(element("p", { class: "notes" }, error.message));
  }

  // The neighbour before or after the one that plays; from the track itself to its first one.
  step(by) {
    if (!this.rows.length) return;
    const at = this.rows.findIndex((row) => this.player.is({ id: row.id }));
    const next = this.rows[Math.max(0, at < 0 ? 0 : Math.min(this.rows.length - 1, at + by))];
    next.node.scrollIntoView({ block: "nearest" });
    this.player.play({ id: next.id });
  }

  showPlaying() {
    for (const row of this.rows) row.show();
    if (this.playing) {
      const on = this.player.is(this.current) && this.player.playing;
      this.playing.textContent = on ? "Pause" : "Play";
      this.playing.setAttribute("aria-label", `${on ? "pause" : "play"} ${name(this.current)}`);
      this.wave.draw();
    }
  }

  showTime() {
    if (!this.wave) return;
    if (this.player.is(this.current)) this.wave.draw();
    for (const row of this.rows) if (this.player.is({ id: row.id })) row.wave.draw();
  }
}
