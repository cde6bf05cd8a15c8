// A pose, drawn from the ends of its limbs at any size: for pages of runs and for people who judge clips.

/** What is seen where a clip does not say: metres across and up, how far up the floor is, whether the picture goes along. */
const ROBOT = { wide: 4.4, high: 2.9, up: 0.18, follows: true, ground: null };

/** Draw a frame of a clip {limbs: radii in metres, frames: per pose x1, z1, x2, z2 of each limb in centimetres, view}. */
export function drawPose(canvas, clip, frame) {
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(name).trim();
  const view = clip.view ?? ROBOT;
  const wide = canvas.clientWidth || 320, scale = wide / view.wide, dense = window.devicePixelRatio || 1;
  canvas.width = Math.round(wide * dense);
  canvas.height = Math.round(view.high * scale * dense);
  const pen = canvas.getContext("2d");
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  const pose = clip.frames[frame], middle = view.follows ? (pose[0] + pose[2]) / 200 : 0;
  const x = (metres) => (metres - middle + view.wide / 2) * scale;
  const y = (metres) => (view.high - view.up - metres) * scale;
  pen.strokeStyle = colour("--soft");
  pen.lineWidth = 1;
  pen.beginPath();
  if (view.ground) {
    for (let at = 0; at < view.ground.length; at += 2) pen.lineTo(x(view.ground[at] / 100), y(view.ground[at + 1] / 100));
  } else {
    pen.moveTo(0, y(0));
    pen.lineTo(wide, y(0));
    for (let mark = Math.ceil(2 * (middle - view.wide / 2)) / 2; mark < middle + view.wide / 2; mark += 0.5) {
      pen.moveTo(x(mark), y(0));
      pen.lineTo(x(mark), y(-0.06));
    }
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
