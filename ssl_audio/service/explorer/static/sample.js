// Files that are dropped or opened, and recordings of the microphone.
import { byId, say } from "./dom.js";
import { wavFile } from "./wav.js";

const MAX_SECONDS = 15, MIN_SECONDS = 1;

export function setUpFiles(open) {
  const field = byId("file"), sheet = byId("drop");
  byId("open-file").addEventListener("click", () => field.click());
  field.addEventListener("change", () => { if (field.files[0]) open(field.files[0]); field.value = ""; });
  const hasFile = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    sheet.hidden = false;
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) sheet.hidden = true; });
  addEventListener("drop", (event) => {
    sheet.hidden = true;
    if (!hasFile(event)) return;
    event.preventDefault();
    if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
}

// The button starts a recording and ends it; it ends by itself after 15 seconds.
export function setUpMicrophone(open) {
  const button = byId("record"), word = button.querySelector(".word");
  let recorder = null;

  const start = async () => {
    if (!navigator.mediaDevices || !window.MediaRecorder) {
      return say("this browser records on secure pages only: use https, or localhost");
    }
    let stream;
    try {
      const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      stream = await navigator.mediaDevices.getUserMedia({ audio: raw });
    } catch (error) {
      return say(error.name === "NotAllowedError" ? "the browser does not allow the microphone here" : "no microphone found");
    }
    const parts = [], began = performance.now();
    recorder = new MediaRecorder(stream);
    const seconds = () => (performance.now() - began) / 1000;
    const clock = setInterval(() => {
      word.textContent = `Stop · ${Math.floor(seconds())} s`;
      if (seconds() >= MAX_SECONDS) stop();
    }, 200);
    recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
    recorder.addEventListener("stop", async () => {
      clearInterval(clock);
      stream.getTracks().forEach((track) => track.stop());
      show(false);
      if (seconds() < MIN_SECONDS) return say("that was too short: record a few seconds");
      try {
        open(await wavFile(new Blob(parts, { type: parts[0]?.type }), "recording.wav"));
      } catch {
        say("the recording cannot be read");
      }
    });
    recorder.start();
    show(true);
  };
  const stop = () => { recorder?.stop(); recorder = null; };
  const show = (on) => {
    button.classList.toggle("on", on);
    button.setAttribute("aria-pressed", String(on));
    word.textContent = on ? "Stop" : "Record";
  };
  button.addEventListener("click", () => (recorder ? stop() : start()));
}
