// The tooltip of the report and of the explorer: text beside the pointer.
const tooltip = document.getElementById("tooltip");

export function showTip(text, event) {
  tooltip.textContent = text;
  tooltip.style.left = Math.max(0, Math.min(event.clientX + 14, innerWidth - 330)) + "px";
  tooltip.style.top = event.clientY + 14 + "px";
  tooltip.classList.add("on");
}
export function hideTip() { tooltip.classList.remove("on"); }
