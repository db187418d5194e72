// The page: its parts, and what passes between them.
import * as api from "./api.js";
import { byId, say } from "./dom.js";
import { setUpKeys } from "./keys.js";
import { TrackMap } from "./map.js";
import { Player } from "./player.js";
import { Playlist } from "./playlist.js";
import { setUpFiles, setUpMicrophone } from "./sample.js";
import { setUpSearch } from "./search.js";
import { setUpTheme } from "./theme.js";
import { TrackPanel } from "./track_panel.js";

const player = new Player();
const playlist = new Playlist(player);
const panel = new TrackPanel(player, playlist);
const map = new TrackMap();

// On narrow screens one part is shown at a time.
const tabs = [...document.querySelectorAll(".tabs button")];
function view(name) {
  document.body.dataset.view = name;
  for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.dataset.view === name));
}
for (const tab of tabs) tab.addEventListener("click", () => view(tab.dataset.view));

function choose(id) {
  panel.show(id);
  player.play({ id });
}
function open(file) {
  view("track");
  panel.ask(file);
}

map.addEventListener("choose", (event) => choose(event.detail));
playlist.addEventListener("choose", (event) => { view("track"); panel.show(event.detail); });
playlist.addEventListener("change", () => map.mark({ playlist: playlist.ids }));
panel.addEventListener("shown", ({ detail }) => {
  map.mark(detail);
  history.replaceState(null, "", detail.track ? `#${encodeURIComponent(detail.track)}` : location.pathname);
});
byId("playing").addEventListener("click", () => {
  view("track");
  if (player.track.id) panel.show(player.track.id);
});
map.mark({ playlist: playlist.ids });

setUpSearch((id) => { view("track"); choose(id); });
setUpFiles(open);
setUpMicrophone(open);
setUpTheme(() => { map.recolour(); panel.showPlaying(); });
setUpKeys({
  "/": () => { byId("search").focus(); byId("search").select(); },
  " ": () => player.toggle(player.track ?? panel.current),
  ArrowLeft: () => player.skip(-5), ArrowRight: () => player.skip(5),
  j: () => panel.step(1), k: () => panel.step(-1),
  a: () => {
    const id = player.track?.id ?? panel.current?.id;
    if (id) playlist.add([id]); else say("choose a track of the catalogue first");
  },
  c: () => playlist.continue(), e: () => playlist.export(),
  m: () => byId("record").click(), o: () => byId("open-file").click(),
  d: () => byId("theme").click(),
});

// The address names the track that is shown.
function fromAddress() {
  try {
    const id = decodeURIComponent(location.hash.slice(1));
    if (id) panel.show(id);
  } catch { /* no id */ }
}
addEventListener("hashchange", fromAddress);
fromAddress();

// What the service can do, and its map; the map may have to be computed first.
async function load() {
  const { encoder } = await api.health();
  byId("open-file").hidden = byId("record").hidden = !encoder;
  if (!map.points) return;
  map.note("Loading the map…");
  for (let wait = 250, previewed = false; ; wait = Math.min(4000, 1.5 * wait)) {
    const { ready, content } = await api.map();
    if (ready) return map.set(content);
    if (content.preview && !previewed) {
      const first = await api.mapPreview().catch(() => null); // null: the map is ready now
      if (first) map.set(first);
      previewed = first !== null;
    }
    map.note(previewed
      ? `A first map. One that shows more is computed once for this catalogue: about ${duration(content.seconds)}.`
      : `The map is computed once for this catalogue: about ${duration(content.seconds)}. Everything else works meanwhile.`);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
const duration = (seconds) => (seconds < 90 ? `${Math.ceil(seconds / 5) * 5} s` : `${Math.ceil(seconds / 60)} min`);

load().catch((error) => { map.note(error.message); });
