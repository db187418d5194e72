// A waveform that shows where its track plays; a click, or an arrow key, goes there.
import { colour, element, prepared } from "./dom.js";

const BAR = 2, GAP = 1; // pixels

// One bar for each place on the screen: the largest of the peaks that fall on it.
function bars(peaks, count) {
  return Array.from({ length: count }, (_, k) => {
    const first = Math.floor(k * peaks.length / count);
    const last = Math.max(first + 1, Math.floor((k + 1) * peaks.length / count));
    return Math.max(...peaks.slice(first, last));
  });
}

export class Waveform {
  constructor(label, player, track, small = false) {
    this.player = player;
    this.track = track;
    this.peaks = [];
    this.canvas = element("canvas", {
      class: small ? "waveform small" : "waveform", role: "slider", tabindex: small ? -1 : 0,
      "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0,
      on: {
        click: (event) => player.play(track, event.offsetX / this.canvas.clientWidth),
        keydown: (event) => this.key(event),
      },
    });
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.canvas);
  }

  set(peaks) {
    this.peaks = peaks;
    this.canvas.dataset.peaks = peaks.length;
    this.draw();
  }

  key(event) {
    const step = { ArrowRight: 5, ArrowUp: 5, ArrowLeft: -5, ArrowDown: -5 }[event.key];
    if (!step && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    if (step && this.player.is(this.track)) this.player.skip(step);
    else this.player.toggle(this.track);
  }

  draw() {
    const { context, width, height } = prepared(this.canvas);
    if (!width || !this.peaks.length) return;
    const played = this.player.is(this.track) ? this.player.fraction : 0;
    const count = Math.max(1, Math.floor(width / (BAR + GAP)));
    const highest = Math.max(...this.peaks, 1e-4), before = colour("--accent"), after = colour("--wave");
    bars(this.peaks, count).forEach((peak, k) => {
      const tall = Math.max(1, peak / highest * (height - 2));
      context.fillStyle = (k + 0.5) / count <= played ? before : after;
      context.fillRect(k * (BAR + GAP), (height - tall) / 2, BAR, tall);
    });
    this.canvas.setAttribute("aria-valuenow", Math.round(played * 100));
  }
}
