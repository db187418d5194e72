// A row of a list of tracks: play, name, waveform, similarity, and what a list adds.
import { details, waveform } from "./api.js";
import { element } from "./dom.js";
import { clock, folder, title } from "./names.js";
import { Waveform } from "./waveform.js";

// Waveforms are loaded when their rows are seen.
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    target.dispatchEvent(new Event("seen"));
  }
});

export function playButton(player, track, label) {
  const button = element("button", {
    type: "button", class: "icon round", "aria-label": `play ${label}`,
    on: { click: () => player.toggle(track) },
  });
  const show = () => button.classList.toggle("on", player.is(track) && player.playing);
  show();
  return { button, show };
}

export class TrackRow {
  // choose: called with the id when the name is clicked; actions: further buttons
  constructor(id, player, { choose, similarity = null, wave = true, actions = [] }) {
    this.id = id;
    const track = { id }, label = title(id), play = playButton(player, track, label);
    this.play = play;
    this.wave = wave ? new Waveform(`waveform of ${label}`, player, track, true) : null;
    this.length = element("span", { class: "soft number" });
    this.node = element("li", { class: "row", "data-id": id }, play.button,
      element("button", { type: "button", class: "plain name", title: id, on: { click: () => choose(id) } },
        element("span", { class: "title" }, label), element("span", { class: "folder" }, folder(id))),
      this.wave?.canvas,
      similarity === null ? this.length
        : element("span", { class: "number", title: "cosine similarity" }, similarity.toFixed(2)),
      element("span", { class: "acts" }, ...actions));
    this.node.addEventListener("seen", () => this.load(similarity === null));
    seen.observe(this.node);
  }

  load(showLength) {
    if (this.wave) waveform(this.id).then(({ peaks }) => this.wave.set(peaks), () => {});
    if (showLength) details(this.id).then(({ seconds }) => { this.length.textContent = clock(seconds); }, () => {});
  }

  show() { this.play.show(); this.wave?.draw(); }
}
