// Search by name: a field with a list of the tracks found (the combobox pattern of ARIA).
import { find } from "./api.js";
import { byId, element, say } from "./dom.js";
import { folder, title } from "./names.js";

const WAIT = 120; // ms after the last key

export function setUpSearch(choose) {
  const field = byId("search"), list = byId("found");
  let waiting = 0, running = null, active = -1;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const close = () => {
    list.hidden = true;
    active = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  };
  const pick = (id) => { close(); field.blur(); choose(id); };
  const activate = (k) => {
    const all = options();
    active = all.length ? (k + all.length) % all.length : -1;
    all.forEach((option, number) => option.setAttribute("aria-selected", number === active));
    if (active < 0) return;
    field.setAttribute("aria-activedescendant", all[active].id);
    all[active].scrollIntoView({ block: "nearest" });
  };
  const show = ({ total, tracks }) => {
    const rows = tracks.map(({ id }, k) => element("div", {
      role: "option", id: `found-${k}`, "aria-selected": "false", "data-id": id,
      on: { mousedown: (event) => event.preventDefault(), click: () => pick(id) },
    }, element("span", { class: "title" }, title(id)), element("span", { class: "folder" }, folder(id))));
    const rest = total > tracks.length ? `the first ${tracks.length} of ${total}` : "";
    list.replaceChildren(...rows, element("p", { class: "soft" }, total ? rest : "no track has this in its name"));
    list.hidden = false;
    field.setAttribute("aria-expanded", "true");
    active = -1;
  };
  const search = async () => {
    running?.abort();
    const query = field.value.trim();
    if (!query) return close();
    running = new AbortController();
    try {
      show(await find(query, running.signal));
    } catch (error) {
      if (error.name !== "AbortError") say(error.message);
    }
  };
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, WAIT);
  });
  field.addEventListener("focus", () => { if (field.value.trim()) search(); });
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") activate(active + 1);
    else if (event.key === "ArrowUp") activate(active - 1);
    else if (event.key === "Enter" && !list.hidden) options()[Math.max(0, active)]?.click();
    else if (event.key === "Escape") { close(); field.blur(); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
