// Dark or light: the browser's preference until the switch is used.
import { byId } from "./dom.js";

const KEY = "ssl_audio theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export function setUpTheme(changed) {
  const root = document.documentElement, button = byId("theme");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const tell = () => { button.setAttribute("aria-pressed", String(dark())); changed(); };
  const chosen = localStorage.getItem(KEY);
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    localStorage.setItem(KEY, root.dataset.theme);
    tell();
  });
  system.addEventListener("change", tell);
  button.setAttribute("aria-pressed", String(dark()));
}
