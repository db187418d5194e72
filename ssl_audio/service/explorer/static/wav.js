// Audio in the browser: a recording as a WAV file, which every service reads, and peaks of a file.

const POINTS = 400, RATE = 44_100;

// Decoded, at one rate; no sound card is needed, nor a click that allows to play.
const decoded = async (blob) =>
  new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());

function mono(buffer) {
  const mixed = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    buffer.getChannelData(channel).forEach((value, k) => { mixed[k] += value / buffer.numberOfChannels; });
  }
  return mixed;
}

// A WAV file of 16-bit PCM, one channel.
export async function wavFile(blob, name) {
  const buffer = await decoded(blob), samples = mono(buffer), rate = buffer.sampleRate;
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => [...letters].forEach((c, k) => view.setUint8(at + k, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // size of what follows: PCM, channels, rate, bytes, bits
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, k) => {
    view.setInt16(44 + 2 * k, Math.round(32767 * Math.min(1, Math.max(-1, value))), true);
  });
  return new File([view], name, { type: "audio/wav" });
}

// The largest absolute value of each of 400 parts of a file.
export async function filePeaks(file) {
  const samples = mono(await decoded(file)), peaks = new Float32Array(POINTS);
  samples.forEach((value, k) => {
    const part = Math.floor(k * POINTS / samples.length);
    peaks[part] = Math.max(peaks[part], Math.abs(value));
  });
  return [...peaks];
}
