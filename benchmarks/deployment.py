"""What corrections of feedback from use are worth, by simulation: bias, error and coverage of raw
and corrected rates, and of another policy's value: `python -m benchmarks.deployment --sims 1000`."""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

from accord.seeds import generator
from accord.statistics.double_sampling import double_sampled
from accord.statistics.means import Estimate, share_mean
from accord.statistics.off_policy import direct_model, effective_share, ips, snips
from benchmarks.coverage.silence import log_of_use, robust, two_policies

RATES = ((1000, 30, 0.5), (1000, 150, 0.5), (1000, 150, -1.5))


def rates(responses: int, calls: int, logit: float, sims: int, seed: int = 0) -> list[list[str]]:
    """Raw and corrected rate in one setting: bias (with its standard error), RMSE, coverage."""
    draw = log_of_use(responses, calls, logit)
    found, truth = defaultdict[str, list[Estimate]](list), float("nan")
    for number in range(sims):
        (share_N, seen), true = draw(generator(seed, "rates in use", calls, f"{logit:g}", number))
        truth, rated_N = float(np.asarray(true)), seen.rated_N
        found["raw"].append(share_mean(share_N[rated_N], seen.cluster_N[rated_N].tolist()))
        found["double sampling"].append(double_sampled(share_N, seen))
    setting = f"{truth:.2f}, {calls} called"
    return [[setting, name, *told(ones, truth)] for name, ones in found.items()]


def policies(calls: int | None, sims: int, seed: int = 0) -> tuple[list[list[str]], float]:
    """Another policy's value by every estimator; and the effective share of the log."""
    draw = two_policies(2000, calls)
    found, truth, effective = defaultdict[str, list[Estimate]](list), float("nan"), float("nan")
    for number in range(sims):
        data, true = draw(generator(seed, "another policy", str(calls), number))
        outcome_N, weight_N, seen, good, bad = data
        truth, effective = float(np.asarray(true)), effective_share(weight_N)
        known_N = seen.rated_N
        found["raw"].append(share_mean(outcome_N[known_N]))
        found["IPS"].append(ips(outcome_N, weight_N, seen))
        found["SNIPS"].append(snips(outcome_N, weight_N, seen))
        for name, features in (("right", good), ("wrong", bad)):
            value = direct_model(outcome_N, *features, seen, generator(0, "folds")).value
            alone = Estimate(value=value, error=None, low=None, high=None, n=1)
            found[f"direct, {name} model"].append(alone)
            found[f"doubly robust, {name} model"].append(robust(data, name == "right"))
    setting = "all answer" if calls is None else f"{calls} called"
    return [[setting, name, *told(ones, truth)] for name, ones in found.items()], effective


def told(estimates: list[Estimate], truth: float) -> list[str]:
    """Bias ± its standard error, root mean squared error, coverage."""
    off = np.array([one.value for one in estimates]) - truth
    ends = [(one.low, one.high) for one in estimates if one.low is not None]
    covered = [low <= truth <= high for low, high in ends if high is not None]
    error = off.std() / len(off) ** 0.5
    return [
        f"{off.mean():+.4f} ± {error:.4f}",
        f"{(off**2).mean() ** 0.5:.4f}",
        f"{np.mean(covered):.3f}" if covered else "",
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sims", type=int, default=1000, help="simulations of each row")
    options = parser.parse_args()
    print("| truth | rate | bias | RMSE | covers |\n|---|---|---|---|---|")
    for setting in RATES:
        for row in rates(*setting, options.sims):
            print(f"| {' | '.join(row)} |", flush=True)
    print("\n| log | other policy's value | bias | RMSE | covers |\n|---|---|---|---|---|")
    for calls in (None, 150):
        rows, effective = policies(calls, options.sims)
        for row in rows:
            print(f"| {' | '.join(row)} |", flush=True)
    print(f"\n2,000 responses; effective sample size {effective:.2f} of them")


if __name__ == "__main__":
    main()
