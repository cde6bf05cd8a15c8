// Clips of robots, drawn by drawPose, to be played, slowed and looked through.
(function () {
  "use strict";
  const source = document.getElementById("poses");
  if (!source) return;
  const clips = JSON.parse(source.textContent);
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  for (const place of document.querySelectorAll("[data-clip]")) {
    const group = place.dataset.clip.split(",").map((path) => path.split(".").reduce((at, key) => at[key], clips));
    const canvases = [...place.querySelectorAll("canvas")];
    const slider = place.querySelector("input[type=range]"), button = place.querySelector("button"), slow = place.querySelector("input[type=checkbox]");
    const last = Math.max(...group.map((clip) => clip.frames.length)) - 1;
    let at = 0, playing = false, then = 0;
    slider.max = last;
    const show = () => {
      group.forEach((clip, which) => drawPose(canvases[which], clip, Math.min(Math.floor(at), clip.frames.length - 1)));
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
    show();
    if (!still && place.dataset.plays) play(true);
  }
})();
