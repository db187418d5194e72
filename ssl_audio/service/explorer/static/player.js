// The one audio element: what plays, where it is, and the bar at the bottom of the page.
import { address } from "./api.js";
import { byId, say } from "./dom.js";
import { clock, title } from "./names.js";

export class Player extends EventTarget {
  // events: "change" when another track plays or it stops, "time" while it plays
  constructor() {
    super();
    this.audio = byId("audio");
    this.track = null; // {id} of a track of the catalogue, {url, name} of a file
    const { audio } = this, seek = byId("seek");
    for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, () => this.show());
    for (const event of ["timeupdate", "loadedmetadata", "seeked"]) {
      audio.addEventListener(event, () => this.showTime());
    }
    audio.addEventListener("error", () => this.failed());
    seek.addEventListener("input", () => this.seek(seek.value / 1000));
    byId("play").addEventListener("click", () => this.toggle());
  }

  is(track) { return this.track !== null && same(this.track, track); }
  get playing() { return this.track !== null && !this.audio.paused; }
  get fraction() { return this.audio.duration ? this.audio.currentTime / this.audio.duration : 0; }

  // Play a track from a place (0 to 1), or from where it was.
  async play(track, fraction = null) {
    if (!this.is(track)) {
      this.track = track;
      this.audio.src = track.url ?? address(track.id, "/audio");
      this.show();
    }
    if (fraction !== null) await this.seek(fraction);
    await this.audio.play().catch((error) => {
      if (error.name === "NotAllowedError") say("the browser plays after a click on this page");
    });
  }

  toggle(track = this.track) {
    if (track === null) return;
    if (this.is(track) && this.playing) this.audio.pause(); else this.play(track);
  }

  async seek(fraction) {
    const { audio } = this;
    if (!Number.isFinite(audio.duration)) {
      audio.preload = "metadata";
      await new Promise((resolve) => {
        for (const event of ["loadedmetadata", "error"]) audio.addEventListener(event, resolve, { once: true });
        audio.load();
      });
    }
    if (Number.isFinite(audio.duration)) audio.currentTime = fraction * audio.duration;
  }

  skip(seconds) {
    if (Number.isFinite(this.audio.duration)) this.audio.currentTime += seconds;
  }

  failed() {
    if (this.track === null || !this.audio.getAttribute("src")) return;
    say(`${name(this.track)} cannot be played: its file is not there, or of a kind that this browser does not play`);
    this.show();
  }

  show() {
    const button = byId("play"), playing = byId("playing");
    button.disabled = playing.disabled = byId("seek").disabled = this.track === null;
    button.setAttribute("aria-label", this.playing ? "pause" : "play");
    button.classList.toggle("on", this.playing);
    playing.textContent = this.track === null ? "Nothing is playing" : name(this.track);
    this.showTime();
    this.dispatchEvent(new Event("change"));
  }

  showTime() {
    const { audio } = this;
    byId("seek").value = this.fraction * 1000;
    byId("time").textContent = Number.isFinite(audio.duration)
      ? `${clock(audio.currentTime)} / ${clock(audio.duration)}` : "";
    this.dispatchEvent(new Event("time"));
  }
}

const same = (one, other) => (one.id ? one.id === other.id : one.url === other.url);
export const name = (track) => (track.id ? title(track.id) : track.name);
