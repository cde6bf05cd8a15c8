// Clips of agents, poses drawn by drawPose or frames of a sheet, to be played, slowed and looked through.
(function () {
  "use strict";
  const source = document.getElementById("poses");
  if (!source) return;
  const clips = JSON.parse(source.textContent);
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  const length = (clip) => (clip.kind === "frames" ? clip.count : clip.frames.length);
  const sheets = new Map(); // clip -> its picture, fetched once
  function draw(canvas, clip, number) {
    if (clip.kind !== "frames") { drawPose(canvas, clip, number); return; }
    const sheet = sheets.get(clip);
    if (!sheet.complete) return; // drawn when it is there
    if (canvas.width !== clip.width) { canvas.width = clip.width; canvas.height = clip.height; }
    const x = (number % clip.columns) * clip.width, y = Math.floor(number / clip.columns) * clip.height;
    canvas.getContext("2d").drawImage(sheet, x, y, clip.width, clip.height, 0, 0, clip.width, clip.height);
  }

  for (const place of document.querySelectorAll("[data-clip]")) {
    const group = place.dataset.clip.split(",").map((path) => path.split(".").reduce((at, key) => at[key], clips));
    const canvases = [...place.querySelectorAll("canvas")];
    const slider = place.querySelector("input[type=range]"), button = place.querySelector("button"), slow = place.querySelector("input[type=checkbox]");
    const last = Math.max(...group.map(length)) - 1;
    let at = 0, playing = false, then = 0;
    slider.max = last;
    const show = () => {
      group.forEach((clip, which) => draw(canvases[which], clip, Math.min(Math.floor(at), length(clip) - 1)));
      slider.value = Math.floor(at);
      slider.setAttribute("aria-valuetext", (at * group[0].dt).toFixed(2) + " seconds");
    };
    const step = (now) => {
      if (!playing) return;
      at += Math.max(0, now - then) / 1000 / group[0].dt / (slow.checked ? 4 : 1);
      then = now;
      if (at > last) at = 0;
      show();
      requestAnimationFrame(step);
    };
    const play = (wanted) => {
      playing = wanted;
      button.textContent = playing ? "stop" : "play";
      then = performance.now();
      if (playing) requestAnimationFrame(step);
    };
    button.addEventListener("click", () => play(!playing));
    slider.addEventListener("input", () => { play(false); at = Number(slider.value); show(); });
    window.addEventListener("resize", show);
    const folded = place.closest("details");
    if (folded) folded.addEventListener("toggle", show);
    document.getElementById("theme").addEventListener("click", () => setTimeout(show));
    for (const clip of group) {
      if (clip.kind !== "frames" || sheets.has(clip)) continue;
      const sheet = new Image();
      sheet.onload = show;
      sheet.src = `data:${clip.type};base64,${clip.sheet}`;
      sheets.set(clip, sheet);
    }
    show();
    if (!still && place.dataset.plays) play(true);
  }
})();
