// a browser shows the <title> of a mark after a second; this shows it at once
for (const title of document.querySelectorAll("svg title")) {
  const mark = title.parentNode, text = title.textContent;
  title.remove();
  mark.setAttribute("aria-label", text);
  mark.addEventListener("mousemove", (event) => showTip(text, event));
  mark.addEventListener("mouseleave", hideTip);
}

// one of several charts, whose rows may be sorted
for (const box of document.querySelectorAll(".chooser")) {
  const which = box.querySelector(".which"), order = box.querySelector(".order");
  const charts = [...box.querySelectorAll(".chart")];
  const show = () => charts.forEach((chart, k) => { chart.hidden = k !== which.selectedIndex; });
  const sort = () => charts.forEach((chart) => {
    const places = JSON.parse(chart.dataset.places)[order.value];
    for (const mark of chart.querySelectorAll("[data-row]")) {
      const row = +mark.dataset.row;
      mark.setAttribute("transform", `translate(0 ${(places[row] - row) * box.dataset.pitch})`);
    }
  });
  which.addEventListener("change", show);
  if (order) order.addEventListener("change", sort);
}

// the map: the nearest track to the pointer is named; a click, or Enter, plays it
function range(values) {
  const low = Math.min(...values), high = Math.max(...values), margin = (high - low || 1) * 0.04;
  return [low - margin, high + margin];
}

function trackMap(box) {
  const map = JSON.parse(box.querySelector("script").textContent);
  const canvas = box.querySelector("canvas"), select = box.querySelector("select");
  const status = box.querySelector(".status"), audio = box.querySelector("audio");
  const context = canvas.getContext("2d"), xr = range(map.x), yr = range(map.y);
  let zoom = 1, shift = [0, 0], current = -1, drag = null;
  const place = (i) => {
    const u = (map.x[i] - xr[0]) / (xr[1] - xr[0]), v = 1 - (map.y[i] - yr[0]) / (yr[1] - yr[0]);
    return [(u * zoom + shift[0]) * canvas.width, (v * zoom + shift[1]) * canvas.height];
  };
  const has = (i) => select.value === "" || map.tags[i].includes(+select.value);
  const circle = (i, radius) => {
    const [px, py] = place(i);
    context.beginPath();
    context.arc(px, py, radius, 0, 7);
  };
  const draw = () => {
    const ratio = devicePixelRatio || 1, colours = getComputedStyle(document.body);
    const radius = (map.x.length > 2000 ? 2.2 : 4) * ratio;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    for (const chosen of [false, true]) {
      const colour = !chosen ? "--soft" : select.value === "" ? "--series-0" : "--series-1";
      context.globalAlpha = chosen ? 0.85 : 0.25;
      context.fillStyle = colours.getPropertyValue(colour);
      for (let i = 0; i < map.x.length; i++) {
        if (has(i) === chosen) { circle(i, radius); context.fill(); }
      }
    }
    if (current < 0) return;
    context.globalAlpha = 1;
    context.lineWidth = 2 * ratio;
    context.strokeStyle = colours.getPropertyValue("--ink");
    circle(current, radius * 1.9);
    context.stroke();
  };
  const name = (i) => `${map.ids[i]} · ${map.tags[i].map((t) => map.names[t]).join(", ")}`;
  const nearest = (event) => {
    const bounds = canvas.getBoundingClientRect(), ratio = canvas.width / bounds.width;
    const mx = (event.clientX - bounds.left) * ratio, my = (event.clientY - bounds.top) * ratio;
    let best = -1, smallest = (24 * ratio) ** 2;
    for (let i = 0; i < map.x.length; i++) {
      const [px, py] = place(i), distance = (px - mx) ** 2 + (py - my) ** 2;
      if (distance < smallest) { smallest = distance; best = i; }
    }
    return best;
  };
  const choose = (i) => {
    if (i !== current) { current = i; draw(); }
    status.textContent = i < 0 ? "" : name(i);
  };
  const play = () => {
    if (current < 0) return;
    const playing = current;
    audio.hidden = false;
    audio.src = map.urls[playing];
    audio.play().catch(() => {
      audio.hidden = true;
      status.textContent = `${name(playing)} — cannot be played: no audio at ${map.paths[playing]}`;
    });
  };
  canvas.addEventListener("mousemove", (event) => {
    if (drag) {
      const bounds = canvas.getBoundingClientRect();
      const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
      shift = [drag.shift[0] + dx / bounds.width, drag.shift[1] + dy / bounds.height];
      drag.moved = drag.moved || Math.hypot(dx, dy) > 4;
      return draw();
    }
    const i = nearest(event);
    choose(i);
    if (i >= 0) showTip(name(i), event); else hideTip();
  });
  canvas.addEventListener("mouseleave", () => { hideTip(); drag = null; });
  canvas.addEventListener("mousedown", (event) => {
    drag = { x: event.clientX, y: event.clientY, shift: [...shift], moved: false };
  });
  canvas.addEventListener("mouseup", (event) => {
    const moved = drag && drag.moved;
    drag = null;
    if (!moved) { choose(nearest(event)); play(); }
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const bounds = canvas.getBoundingClientRect(), factor = event.deltaY < 0 ? 1.2 : 1 / 1.2;
    const u = (event.clientX - bounds.left) / bounds.width;
    const v = (event.clientY - bounds.top) / bounds.height;
    const next = Math.min(40, Math.max(1, zoom * factor)), by = next / zoom;
    shift = next === 1 ? [0, 0] : [u - (u - shift[0]) * by, v - (v - shift[1]) * by];
    zoom = next;
    draw();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) choose((current + step + map.x.length) % map.x.length);
    else if (event.key === "Enter" || event.key === " ") play();
    else return;
    event.preventDefault();
  });
  box.querySelector("button").addEventListener("click", () => { zoom = 1; shift = [0, 0]; draw(); });
  // start with the tag that divides the tracks most evenly
  const uneven = map.names.map((_, t) => Math.abs(map.tags.filter((own) => own.includes(t)).length - map.x.length / 2));
  if (uneven.length) select.value = String(uneven.indexOf(Math.min(...uneven)));
  select.addEventListener("change", draw);
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}
document.querySelectorAll(".map").forEach(trackMap);
