// Names of tracks and times, as people read them. The id of a track is a path below the music folder;
// its title is the file's name without suffix, with spaces for underscores.

export function title(id) {
  const name = id.slice(id.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  return (dot > 0 && name.length - dot < 7 ? name.slice(0, dot) : name).replace(/_+/g, " ").trim() || id;
}

export const folder = (id) => id.slice(0, Math.max(0, id.lastIndexOf("/")));

export function clock(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.floor(seconds), minutes = Math.floor(whole / 60);
  return `${minutes}:${String(whole % 60).padStart(2, "0")}`;
}
