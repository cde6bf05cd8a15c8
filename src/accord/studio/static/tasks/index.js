// One module per task. A task is: start, from (an answer taken back), touched, missing, answer, actions, mount → draw.
import bestWorst from "./best_worst.js";
import chat from "./chat.js";
import clips from "./clips.js";
import comparison from "./comparison.js";
import flags from "./flags.js";
import ranking from "./ranking.js";
import rating from "./rating.js";
import spans from "./spans.js";
import steps from "./steps.js";
import thumb from "./thumb.js";
import { correction, critique, demonstration } from "./writing.js";

export const tasks = { comparison, ranking, best_worst: bestWorst, rating, thumb, flags, critique, correction, demonstration, steps, spans, chat, clips };
