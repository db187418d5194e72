// A playlist as an M3U file: paths of the tracks, which players and `ssl-audio complete` read.
import { details } from "./api.js";
import { title } from "./names.js";

const oneLine = (text) => text.replace(/\s+/g, " ").trim();

export function m3u(tracks) {
  const lines = ["#EXTM3U"];
  for (const { id, path, seconds } of tracks) {
    const entry = path || id;
    if (/[\r\n]/.test(entry)) throw new Error(`an M3U cannot hold the path ${JSON.stringify(entry)}: rename that file`);
    lines.push(`#EXTINF:${Number.isFinite(seconds) ? Math.round(seconds) : -1},${oneLine(title(id))}`);
    lines.push(entry.startsWith("#") ? `./${entry}` : entry);
  }
  return lines.join("\n") + "\n";
}

export async function download(ids) {
  const text = m3u(await Promise.all(ids.map(details)));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "audio/x-mpegurl" }));
  link.download = "playlist.m3u8";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
