// Requests to the service. Paths are relative, so that a proxy may put the service below a folder.
export const address = (id, part = "") => `tracks/${encodeURIComponent(id)}${part}`;

// The reason in a problem document (RFC 9457), else the status.
async function reason(response) {
  const document = await response.json().catch(() => ({}));
  return document.detail || document.title || `the service answered ${response.status}`;
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the service does not answer: is it running?");
  }
  if (!response.ok) throw new Error(await reason(response));
  return response;
}

const json = async (path, options) => (await request(path, options)).json();
const post = (path, body) => json(path, {
  method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
});

// Answers that do not change while the page is open.
function remembered(load) {
  const known = new Map();
  return (id) => {
    if (!known.has(id)) {
      known.set(id, load(id).catch((error) => { known.delete(id); throw error; }));
    }
    return known.get(id);
  };
}

export const health = () => json("health");
export const map = async () => {
  const response = await request("map");
  return { ready: response.status === 200, content: await response.json() };
};
export const mapPreview = () => json("map/preview");
export const find = (query, signal) =>
  json(`tracks?query=${encodeURIComponent(query)}&limit=20`, { signal });
export const details = remembered((id) => json(address(id)));
export const waveform = remembered((id) => json(address(id, "/waveform?points=400")));
export const neighbours = (id, k = 12) => post("neighbours", { id, k });
export const complete = (ids, length) => post("complete", { ids, length });

// All that can be said of an audio file that is not in the catalogue.
export function newTrack(file) {
  const form = new FormData();
  form.append("file", file, file.name);
  return json("new-track", { method: "POST", body: form });
}
