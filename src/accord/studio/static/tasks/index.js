// One module per task. A task is: start, from (an answer taken back), touched, missing, answer, actions, mount → draw.
import bestWorst from "./best_worst.js";
import chat from "./chat.js";
import { withClips } from "./clips.js";
import comparison from "./comparison.js";
import flags from "./flags.js";
import ranking from "./ranking.js";
import rating from "./rating.js";
import spans from "./spans.js";
import steps from "./steps.js";
import thumb from "./thumb.js";
import { correction, critique, demonstration } from "./writing.js";

export const tasks = {
  comparison, flags, critique, correction, demonstration, steps, spans, chat,
  clips: withClips(comparison), ranking: withClips(ranking), best_worst: withClips(bestWorst), rating: withClips(rating), thumb: withClips(thumb),
};
