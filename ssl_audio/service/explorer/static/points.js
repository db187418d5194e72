// Points drawn by WebGL: positions and colours are sent to the graphics card once, so that a frame
// is one call whatever the number of points.
import {
  createBufferInfoFromArrays, createProgramInfo, drawBufferInfo, setAttribInfoBufferFromArray,
  setBuffersAndAttributes, setUniforms,
} from "./vendor/libraries.min.js";

const VERTEX = `#version 300 es
in vec2 place;   // 0 to 1, from the top left
in float group;
uniform vec2 scale, shift;  // of the view, in clip coordinates
uniform float size, alpha, shown;  // shown: the only group in colour; -1: all
uniform vec3 palette[12];
out vec4 tint;
void main() {
  gl_Position = vec4(place * scale + shift, 0.0, 1.0);
  bool faint = shown >= 0.0 && group != shown;
  gl_PointSize = faint ? size * 0.8 : size;
  tint = vec4(palette[faint ? 11 : int(group)], faint ? alpha * 0.35 : alpha);
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 tint;
out vec4 result;
void main() {
  float away = length(gl_PointCoord - 0.5) * 2.0;
  float cover = 1.0 - smoothstep(0.75, 1.0, away);
  if (cover <= 0.0) discard;
  result = vec4(tint.rgb, 1.0) * tint.a * cover;
}`;

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);

export class Points {
  // throws where the browser has no WebGL
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
    if (!this.gl) throw new Error("no WebGL");
    this.count = 0;
    this.setUp();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.setUp();
      this.set(this.places, this.groups);
      this.draw(this.view);
    });
  }

  setUp() {
    const { gl } = this;
    this.program = createProgramInfo(gl, [VERTEX, FRAGMENT]);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  // places: x and y of each point, 0 to 1; groups: the number of its colour
  set(places, groups) {
    this.places = places;
    this.groups = groups;
    this.count = groups.length;
    this.buffers = createBufferInfoFromArrays(this.gl, {
      place: { numComponents: 2, data: places }, group: { numComponents: 1, data: groups },
    });
  }

  setGroups(groups) {
    this.groups = groups;
    setAttribInfoBufferFromArray(this.gl, this.buffers.attribs.group, groups);
  }

  // twelve colours as #rrggbb; the last is that of points that are not shown in colour
  setPalette(colours) { this.palette = new Float32Array(colours.flatMap(channels)); }

  // view: {scale, left, top} in pixels of the page, as in left + scale.x * x, and {shown}
  draw(view) {
    const { gl, canvas } = this, ratio = devicePixelRatio || 1;
    this.view = view;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (!this.count || !width || !height) return;
    gl.useProgram(this.program.program);
    setBuffersAndAttributes(gl, this.program, this.buffers);
    setUniforms(this.program, {
      scale: [2 * view.scale.x / width, -2 * view.scale.y / height],
      shift: [2 * view.left / width - 1, 1 - 2 * view.top / height],
      size: this.size(view) * ratio, alpha: this.count > 20_000 ? 0.55 : 0.8,
      shown: view.shown, palette: this.palette,
    });
    drawBufferInfo(gl, this.buffers, gl.POINTS);
  }

  // Diameter: smaller where many points share the screen, larger when it shows a part of the map.
  size(view) {
    const whole = Math.sqrt(this.canvas.clientWidth * this.canvas.clientHeight / this.count) * 0.3;
    return Math.min(12, Math.max(2, Math.min(7, whole)) * Math.sqrt(Math.sqrt(view.zoom)));
  }
}
