"""Does bf16 learn the same? `python -m benchmarks.precision`: one JSON line per arithmetic and
seed.

Fine-tunes the packaged base model on openings and continuations of movie reviews in fp32 and in
bf16 with the same rows in the same order, and prints the held-out loss along the way and real
tokens per CPU-second.
"""

from __future__ import annotations

import json
import time

from accord.runs import environment

ROWS, HELDOUT, SEEDS, STEPS_BETWEEN = 1600, 200, (1, 2, 3), 10


def main() -> None:
    """Train and print."""
    threads = environment.prepare(1)
    from accord.learning.session import LocalSession
    from accord.learning.supervised import SupervisedSettings, train_supervised
    from accord.models import precision
    from accord.models.loading import load_causal_lm
    from accord.models.tuning import tune
    from accord.text.encoding import Encoder
    from accord.text.reviews import load_reviews, opening_and_continuation

    tune(threads)
    encoder = Encoder(load_causal_lm("accord:nano-base").tokenizer)
    found = (
        opening_and_continuation(review.text, max_characters=160)
        for review in load_reviews().parts["base"]
    )
    pairs = [pair for pair in found if pair is not None][: ROWS + HELDOUT]
    groups = [encoder.example(*pair).group for pair in pairs]
    for seed in SEEDS:
        for arithmetic in ("fp32", "bf16"):
            precision.use(arithmetic)  # type: ignore[arg-type]
            session, model = LocalSession(), load_causal_lm("accord:nano-base")
            settings = SupervisedSettings(
                batch=32, evaluate_every=STEPS_BETWEEN, learning_rate=5e-4, warmup=0.0
            )
            start = time.process_time()
            result = train_supervised(
                model, groups[:ROWS], settings, session, groups[ROWS:], seed=seed
            )
            seconds = time.process_time() - start
            curve = [
                round(row["heldout_loss_tok"], 4)
                for row in session.history
                if "heldout_loss_tok" in row
            ]
            line = {
                "precision": arithmetic,
                "seed": seed,
                "heldout_loss": round(result.heldout_loss or 0.0, 4),
                "curve": curve,
                "tokens_per_cpu_second": round(result.tokens / seconds),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
