// Keys of the whole page, and the help that lists them.
import { byId, element } from "./dom.js";

const KEYS = [
  ["/", "search by name; arrow keys and Enter choose"],
  ["Space", "play or pause"],
  ["← →", "5 seconds back or forward"],
  ["j k", "play the next or previous of the tracks that sound alike"],
  ["a", "add the track that plays, or is shown, to the playlist"],
  ["c", "continue the playlist"],
  ["e", "download the playlist as M3U"],
  ["m", "start or end a recording"],
  ["o", "open an audio file"],
  ["d", "dark or light"],
  ["?", "this help; Esc closes it"],
];
const ON_MAP = [["arrow keys", "to the nearest track in that direction"], ["Enter", "play it"], ["+ − 0", "zoom in, zoom out, the whole map"]];
const IN_LIST = [["Alt ↑ ↓", "move a track of the playlist"], ["Delete", "remove it"]];

const table = (rows) => element("dl", { class: "keys" }, ...rows.map(([keys, text]) =>
  element("div", {}, element("dt", {}, element("kbd", {}, keys)), element("dd", {}, text))));

export function setUpKeys(actions) {
  const help = byId("help");
  help.replaceChildren(
    element("div", { class: "heading" }, element("h2", {}, "Keys"),
      element("button", { type: "button", class: "icon", "aria-label": "close", on: { click: () => help.close() } }, "×")),
    table(KEYS), element("h3", {}, "On the map"), table(ON_MAP), element("h3", {}, "In the playlist"), table(IN_LIST),
    element("p", { class: "soft" }, "A file that you drop or record is sent to this service only, and not kept. Of two tracks, the distance on the map is a rough guide; the number beside a neighbour is the cosine similarity of the embeddings."));
  byId("open-help").addEventListener("click", () => help.showModal());
  help.addEventListener("click", (event) => { if (event.target === help) help.close(); });

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const { target } = event;
    if (target.matches("input:not([type=range]), select, textarea")) return;
    // a focused button or slider keeps its own keys
    const own = target.matches("button, a, summary") ? [" ", "Enter"]
      : target.matches("input[type=range]") ? ["ArrowLeft", "ArrowRight"] : [];
    const action = own.includes(event.key) ? null : event.key === "?" ? () => help.showModal() : actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
