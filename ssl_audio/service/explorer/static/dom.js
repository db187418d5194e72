// Elements of the page. Texts become text nodes: the name of a track is never read as HTML.

export const byId = (id) => document.getElementById(id);

// attributes: `on` has listeners by event; true and false set and leave out an attribute
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (value !== false && value !== undefined && value !== null) {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// The value of a CSS variable, in the colours that are shown now.
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A canvas with as many pixels as it has on the screen; its context, in CSS pixels.
export function prepared(canvas) {
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}

let hiding = 0;
export function say(text) {
  const message = byId("message");
  message.textContent = text;
  message.classList.add("on");
  clearTimeout(hiding);
  hiding = setTimeout(() => message.classList.remove("on"), 7000);
}
