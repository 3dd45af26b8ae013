// Pictures and sound to send: from the camera, or made here, so that a call can be tested where there is none.

/** Whether this page may ask for a camera at all: only over HTTPS or on the machine itself. */
export const mayUseCamera = () => Boolean(navigator.mediaDevices?.getUserMedia);

/** A stream of `kind` `camera`, `made` or `none` (null). `stop(stream)` ends it. */
export async function open(kind) {
  if (kind === "none") return null;
  if (kind === "camera" && mayUseCamera()) {
    return navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 1280, height: 720 } });
  }
  return made();
}

const endings = new WeakMap();

export function stop(stream) {
  stream?.getTracks().forEach((track) => track.stop());
  endings.get(stream)?.();
}

/** A floe that drifts over a clock, and a quiet beep every second. */
function made() {
  const canvas = document.createElement("canvas");
  canvas.width = 640;
  canvas.height = 360;
  const pen = canvas.getContext("2d");
  const draw = () => {
    const time = performance.now() / 1000;
    pen.fillStyle = "#0c5d7d";
    pen.fillRect(0, 0, 640, 360);
    pen.fillStyle = "#e8f6fb";
    const x = 320 + 220 * Math.sin(time * 1.3);
    const y = 190 + 24 * Math.sin(time * 2.1);
    pen.beginPath();
    for (const [dx, dy] of [[-90, 20], [-45, -35], [40, -35], [90, 20], [0, 60]]) pen.lineTo(x + dx, y + dy);
    pen.fill();
    pen.font = "600 40px monospace";
    pen.fillText(new Date().toISOString().slice(11, 22), 24, 56);
  };
  draw();
  const stream = canvas.captureStream(15);
  const timer = setInterval(draw, 66);
  const sound = new AudioContext();
  const tone = sound.createOscillator();
  const volume = sound.createGain();
  const beep = setInterval(() => {
    volume.gain.setValueAtTime(0.03, sound.currentTime);
    volume.gain.setValueAtTime(0, sound.currentTime + 0.08);
  }, 1000);
  volume.gain.value = 0;
  const out = sound.createMediaStreamDestination();
  tone.connect(volume).connect(out);
  tone.start();
  stream.addTrack(out.stream.getAudioTracks()[0]);
  endings.set(stream, () => {
    clearInterval(timer);
    clearInterval(beep);
    sound.close();
  });
  return stream;
}
