// Values from 0 to 1 as bars with names: tags and acoustic features.
import { element } from "./dom.js";

// entries: {name, value, strong}; the elements have the values as texts too
export function bars(label, entries) {
  return element("dl", { class: "bars", "aria-label": label }, ...entries.map(({ name, value, strong }) => {
    const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("span"));
    bar.firstChild.style.width = `${100 * Math.min(1, Math.max(0, value))}%`;
    return element("div", { class: strong ? "strong" : false }, element("dt", { title: name }, name),
      element("dd", {}, bar, element("span", { class: "number" }, value.toFixed(2))));
  }));
}
