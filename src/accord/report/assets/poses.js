// Clips of robots: limbs drawn from their ends, at any size, to be played, slowed and looked through.
(function () {
  "use strict";
  const source = document.getElementById("poses");
  if (!source) return;
  const clips = JSON.parse(source.textContent);
  const HEIGHT = 2.9, WIDTH = 4.4, FLOOR = 0.18; // metres that are seen; how far up the floor is
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  function draw(canvas, clip, frame) {
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => css.getPropertyValue(name).trim();
    const wide = canvas.clientWidth || 320, scale = wide / WIDTH, dense = window.devicePixelRatio || 1;
    canvas.width = Math.round(wide * dense);
    canvas.height = Math.round(HEIGHT * scale * dense);
    const pen = canvas.getContext("2d");
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    const pose = clip.frames[frame], middle = (pose[0] + pose[2]) / 200;
    const x = (metres) => (metres - middle + WIDTH / 2) * scale;
    const y = (metres) => (HEIGHT - FLOOR - metres) * scale;
    pen.strokeStyle = colour("--line");
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(0, y(0));
    pen.lineTo(wide, y(0));
    for (let mark = Math.ceil(2 * (middle - WIDTH / 2)) / 2; mark < middle + WIDTH / 2; mark += 0.5) {
      pen.moveTo(x(mark), y(0));
      pen.lineTo(x(mark), y(-0.06));
    }
    pen.stroke();
    pen.lineCap = "round";
    clip.limbs.forEach((radius, limb) => {
      const [x1, z1, x2, z2] = pose.slice(4 * limb, 4 * limb + 4).map((centimetres) => centimetres / 100);
      pen.strokeStyle = colour(limb === 0 ? "--accent" : "--soft");
      pen.lineWidth = 2 * radius * scale;
      pen.beginPath();
      pen.moveTo(x(x1), y(z1));
      pen.lineTo(x(x2), y(z2));
      pen.stroke();
    });
  }

  for (const place of document.querySelectorAll("[data-clip]")) {
    const group = place.dataset.clip.split(",").map((path) => path.split(".").reduce((at, key) => at[key], clips));
    const canvases = [...place.querySelectorAll("canvas")];
    const slider = place.querySelector("input[type=range]"), button = place.querySelector("button"), slow = place.querySelector("input[type=checkbox]");
    const last = Math.max(...group.map((clip) => clip.frames.length)) - 1;
    let at = 0, playing = false, then = 0;
    slider.max = last;
    const show = () => {
      group.forEach((clip, which) => draw(canvases[which], clip, Math.min(Math.floor(at), clip.frames.length - 1)));
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
