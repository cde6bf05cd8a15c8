"""Cells of means, shares and differences over prompts, and of what the report fits to them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from accord.examine import best_of_n, evidence, overoptimisation, reward_card
from accord.examine.rows import Samples
from accord.examine.winrate import gain, gain_at_equal_length, win_rate
from accord.statistics.calibration import temperature_of
from accord.statistics.clusters import share_difference
from accord.statistics.intervals import Array, Interval, difference, share
from accord.statistics.means import Estimate, clustered_mean, share_mean, student_mean
from benchmarks.coverage.registry import Cell, Drawn, add

Rng = np.random.Generator
Simulate = Callable[[Rng], Drawn]

HALVES = (
    "each half of the prompts chooses the point for the other, which the variance does not know"
)
SKEWED = "values of long tails to one side: the mean and its error fall short together"


# --- shares -----------------------------------------------------------------------------------
def wins(prompts: int, rate: float, ties: float = 0.0) -> Simulate:
    """Scores of a policy less the baseline's: 1, 0 for a tie, -1; and the win rate."""

    def draw(rng: Rng) -> Drawn:
        won = np.where(rng.random(prompts) < ties, 0.0, np.where(rng.random(prompts) < rate, 1, -1))
        return (won, np.arange(prompts)), ties / 2 + (1 - ties) * rate

    return draw


def sampled_wins(prompts: int, rate: float, alike: float, uneven: bool) -> Simulate:
    """Eight samples a prompt, or uneven numbers of mean 5, whose rates differ from prompt to prompt
    (beta, of intraclass correlation `alike`)."""
    first, second = (part * (1 / alike - 1) for part in (rate, 1 - rate))

    def draw(rng: Rng) -> Drawn:
        sizes = rng.geometric(0.2, prompts) if uneven else np.full(prompts, 8)
        place = np.repeat(np.arange(prompts), sizes)
        won = rng.random(len(place)) < rng.beta(first, second, prompts)[place]
        return (np.where(won, 1.0, -1.0), place), rate

    return draw


def winning(data: tuple[Array, Array]) -> Estimate:
    """As the report has it."""
    won, place = data
    return win_rate(won, np.zeros(len(won)), list(place))


for prompts in (3, 10, 20, 100):
    for rate, ties in ((0.5, 0.0), (0.8, 0.0), (0.95, 0.0), (0.7, 0.4)):
        tied = f", {ties:.0%} ties" if ties else ""
        setting = f"{prompts} prompts, {rate:.0%}{tied}"
        add(Cell("win rate", setting, prompts, wins(prompts, rate, ties), winning))
for prompts in (5, 10, 20, 100):
    for rate in (0.5, 0.8, 0.95):
        for alike, uneven in ((0.05, False), (0.5, False), (0.2, True)):
            how = "uneven samples" if uneven else "8 samples each"
            setting = f"{prompts} prompts, {how}, {rate:.0%}, intraclass {alike:g}"
            draw = sampled_wins(prompts, rate, alike, uneven)
            add(Cell("win rate", setting, prompts, draw, winning))
for count, rate in ((5, 0.5), (20, 0.02), (20, 0.9), (200, 0.01), (200, 0.6)):
    add(
        Cell(
            "share",
            f"{count} answers, {rate:.0%}",
            count,
            lambda rng, count=count, rate=rate: ((rng.binomial(count, rate), count), rate),
            lambda data: share(*data),
        )
    )
for count, rates in ((10, (0.5, 0.9)), (30, (0.2, 0.02)), (100, (0.7, 0.6))):
    add(
        Cell(
            "difference of shares",
            f"{count} answers each, {rates[0]:.0%} and {rates[1]:.0%}",
            count,
            lambda rng, count=count, rates=rates: (
                [share(int(rng.binomial(count, p)), count) for p in rates],
                rates[0] - rates[1],
            ),
            lambda shares: difference(*shares),
        )
    )


def two_shares(prompts: int, rates: tuple[float, float]) -> Simulate:
    """Of the same prompts, six answers of one sort and four of another; what a prompt is like moves
    both."""

    def draw(rng: Rng) -> Drawn:
        shift = rng.uniform(-1, 1, prompts)
        one, two = (np.clip(rate + 0.15 * shift, 0, 1) for rate in rates)
        rows = rng.binomial(6, one), np.full(prompts, 6), rng.binomial(4, two), np.full(prompts, 4)
        return [row.astype(float) for row in rows], rates[0] - rates[1]

    return draw


for prompts in (8, 20, 100):
    for rates in ((0.6, 0.6), (0.85, 0.7)):
        setting = f"{prompts} prompts, {rates[0]:.0%} and {rates[1]:.0%}"
        add(
            Cell(
                "difference over prompts",
                setting,
                prompts,
                two_shares(prompts, rates),
                lambda rows: share_difference(*rows),
            )
        )


def repeated(texts: int, some: float) -> Simulate:
    """Shares of repeated 4-grams: most texts have none, some a fifth of theirs on average."""

    def draw(rng: Rng) -> Drawn:
        values = np.where(rng.random(texts) < some, rng.beta(1, 4, texts), 0.0)
        return values, some / 5

    return draw


for texts in (5, 20, 100):
    for some in (0.1, 0.6):
        setting = f"{texts} texts, {some:.0%} with any"
        add(Cell("repetition", setting, texts, repeated(texts, some), lambda x: share_mean(x)))


# --- means ------------------------------------------------------------------------------------
SHAPES: dict[str, Callable[[Rng, int], Array]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_t(3, size=n),
    "skewed": lambda rng, n: rng.gamma(2.0, size=n) - 2,
    "very skewed": lambda rng, n: rng.exponential(size=n) - 1,
}
"""Of mean 0."""


def values(prompts: int, shape: str, samples: int, uneven: bool = False) -> Simulate:
    """Scores with as much spread between prompts as within; several samples a prompt."""

    def draw(rng: Rng) -> Drawn:
        sizes = rng.geometric(1 / samples, prompts) if uneven else np.full(prompts, samples)
        place = np.repeat(np.arange(prompts), sizes)
        within = SHAPES[shape](rng, len(place)) if samples > 1 else 0.0
        return (0.7 + SHAPES[shape](rng, prompts)[place] + within, place), 0.7

    return draw


for prompts in (3, 10, 20, 100):
    for shape in SHAPES:
        seldom = SKEWED if (prompts, shape) in ((3, "skewed"), (10, "very skewed")) else ""
        if shape == "very skewed" and prompts == 3:
            continue
        for samples, uneven in ((1, False), (8, False), (5, True)):
            if samples > 1 and shape != "normal":
                continue
            how = {1: "", 8: ", 8 samples each", 5: ", uneven samples"}[samples]
            add(
                Cell(
                    "mean",
                    f"{prompts} prompts, {shape}{how}",
                    prompts,
                    values(prompts, shape, samples, uneven),
                    lambda data: clustered_mean(data[0], list(data[1])),
                    seldom,
                )
            )
for seeds in (3, 5, 10):
    add(
        Cell(
            "mean over seeds",
            f"{seeds} seeds",
            seeds,
            lambda rng, seeds=seeds: (list(rng.normal(2.0, 0.5, seeds)), 2.0),
            student_mean,
        )
    )


def right_or_wrong(prompts: int, better: float, worse: float) -> Simulate:
    """Gold of 0 and 1, which differs to either side on some prompts."""

    def draw(rng: Rng) -> Drawn:
        u = rng.random(prompts)
        before = np.where(
            u < better, 0.0, np.where(u < better + worse, 1.0, rng.random(prompts) < 0.5)
        )
        after = np.where(u < better, 1.0, np.where(u < better + worse, 0.0, before))
        return (after, before), better - worse

    return draw


def gained(data: tuple[Array, Array]) -> Estimate:
    """As the report has it."""
    return gain(*data, list(range(len(data[0]))))


for prompts in (5, 20, 100):
    for better, worse in ((0.4, 0.2), (0.1, 0.02), (0.9, 0.0)):
        setting = f"{prompts} prompts right or wrong, {better:.0%} gained, {worse:.0%} lost"
        add(Cell("gain", setting, prompts, right_or_wrong(prompts, better, worse), gained))
    add(
        Cell(
            "gain",
            f"{prompts} prompts, scores",
            prompts,
            lambda rng, n=prompts: ((rng.normal(0.5, 1, n), rng.normal(0, 1, n)), 0.5),
            gained,
        )
    )


# --- best of n, drops, fits ---------------------------------------------------------------------
def pool(rng: Rng, prompts: int, samples: int) -> tuple[Array, Array, Array]:
    """Proxy and gold of so many samples a prompt, correlated by .6, prompts differing as much as
    samples; gold of one baseline sample."""
    prompt_P1, proxy_PN = rng.normal(size=(prompts, 1)), rng.normal(size=(prompts, samples))
    gold_PN = prompt_P1 + 0.6 * proxy_PN + 0.8 * rng.normal(size=(prompts, samples))
    return proxy_PN, gold_PN, prompt_P1[:, 0] + rng.normal(size=prompts)


@cache
def best_truth(n: int) -> tuple[float, float]:
    """Gold and win rate at the best of n, from half a million prompts."""
    rng = np.random.default_rng(0)
    proxy, gold, base = pool(rng, 500_000, n)
    chosen = gold[np.arange(len(gold)), proxy.argmax(1)]
    return float(chosen.mean()), float((chosen > base).mean())


def best(prompts: int, n: int, part: str) -> Simulate:
    """A pool of 16 samples a prompt."""
    return lambda rng: ((*pool(rng, prompts, 16), n), best_truth(n)[part == "win_rate"])


for prompts in (5, 20, 100):
    for n in (1, 4, 16):
        for part, name in (("gold", "best of n, gold"), ("win_rate", "best of n, win rate")):
            add(
                Cell(
                    name,
                    f"{prompts} prompts, best of {n} of 16",
                    prompts,
                    best(prompts, n, part),
                    lambda data, part=part: getattr(
                        best_of_n.curve(*data[:3], np.full(data[0].shape, -80.0), (data[3],))[0],
                        part,
                    ),
                    slow=prompts > 5,
                )
            )


def flat(prompts: int, points: int) -> Simulate:
    """Gold at every point of a run that neither rises nor falls."""

    def draw(rng: Rng) -> Drawn:
        prompt = rng.normal(size=prompts)
        empty, ids = np.zeros(prompts), np.arange(prompts)
        text = [""] * prompts
        runs = [
            Samples(
                ids, text, text, empty, empty > 0, prompt + rng.normal(size=prompts),
                empty[None], empty, empty, empty,
            )
            for _ in range(points)
        ]  # fmt: skip
        return runs, 0.0

    return draw


for prompts in (8, 20, 100):
    setting = f"{prompts} prompts, 5 points, flat"
    seldom = HALVES if prompts > 8 else ""
    add(Cell("drop from the peak", setting, prompts, flat(prompts, 5), evidence._late_drop, seldom))


def turning(prompts: int, form: overoptimisation.Form) -> Simulate:
    """Gains at eight distances whose alpha and beta differ between prompts around 1 and .3."""
    d = np.linspace(0.3, 4, 8)
    bend = d * (d if form == "best_of_n" else np.log(d))

    def draw(rng: Rng) -> Drawn:
        alpha, beta = rng.normal(1, 0.5, prompts), rng.normal(0.3, 0.2, prompts)
        gains = d[:, None] * alpha - bend[:, None] * beta + rng.normal(size=(8, prompts))
        return (d, gains, form), 0.3

    return draw


def beta_of(data: tuple[Array, Array, overoptimisation.Form]) -> Interval | None:
    """Of the fit."""
    found = overoptimisation.fit(*data)
    if found is None or found.beta_low is None or found.beta_high is None:
        return None
    return Interval(found.beta, found.beta_low, found.beta_high)


for prompts in (5, 20, 100):
    for form in ("best_of_n", "rl"):
        setting = f"{prompts} prompts, {form.replace('_', ' ')}"
        add(Cell("beta of the fit", setting, prompts, turning(prompts, form), beta_of))


# --- reward card, length ------------------------------------------------------------------------
def pairs(prompts: int, temperature: float) -> Simulate:
    """Three pairs a prompt whose confidence lies between 70 and 75 %, right as often as scores at
    this temperature are."""
    low, high = np.log(0.7 / 0.3), np.log(0.75 / 0.25)
    grid = np.linspace(low, high, 10_001)
    truth = float((1 / (1 + np.exp(-grid / temperature))).mean())

    def draw(rng: Rng) -> Drawn:
        gap = rng.uniform(low, high, 3 * prompts)
        right = rng.random(len(gap)) < 1 / (1 + np.exp(-gap / temperature))
        return (np.where(right, gap, -gap), np.repeat(np.arange(prompts), 3)), truth

    return draw


def diagram(data: tuple[Array, Array]) -> Estimate:
    """The one bin of the reliability diagram."""
    (found,) = reward_card.calibration(data[0], list(data[1]), 1.0).bins
    return found.accuracy


for prompts in (5, 20, 100):
    for temperature in (1.0, 0.2):
        setting = f"{prompts} prompts of 3 pairs, temperature {temperature:g}"
        add(Cell("calibration", setting, prompts, pairs(prompts, temperature), diagram))


EDGES = np.linspace(0.5, 1, 11)


def ranked(prompts: int, temperature: float, what: str, pairs: int = 3) -> Simulate:
    """Three pairs a prompt, or another number, ranked rightly as often as gaps from N(0, 1.5^2) at this temperature
    are, of one prompt together half of the time; and what is true of them."""
    half = np.linspace(0, 12, 200_001)
    weight = np.exp(-((half / 1.5) ** 2) / 2)
    weight /= weight.sum()
    right, says = (1 / (1 + np.exp(-half / t)) for t in (temperature, 1.0))
    index = np.clip(np.digitize(says, EDGES[1:-1]), 0, 9)
    truth = {
        "temperature": temperature,
        "nll": float(-weight @ (right * np.log(says) + (1 - right) * np.log(1 - says))),
        "ece": float(np.abs(np.bincount(index, weight * (says - right))).sum()),
    }[what]

    def draw(rng: Rng) -> Drawn:
        gap_PN = np.abs(rng.normal(0, 1.5, (prompts, pairs)))
        drawn_PN = np.where(
            rng.random((prompts, 1)) < 0.5, rng.random((prompts, 1)), rng.random((prompts, pairs))
        )
        sign_PN = np.where(drawn_PN < 1 / (1 + np.exp(-gap_PN / temperature)), 1, -1)
        return ((gap_PN * sign_PN).ravel(), np.repeat(np.arange(prompts), pairs).tolist()), truth

    return draw


def of_card(what: str) -> Callable[[tuple[Array, list[int]]], Estimate]:
    """As the reward model's card has it."""
    if what == "temperature":
        return lambda data: temperature_of(*data)
    return lambda data: getattr(reward_card.calibration(*data, 1.0), what)  # type: ignore[no-any-return]


for prompts in (10, 40, 200):
    for temperature in (1.0, 2.5):
        for what, name in (("ece", "ECE"), ("nll", "log-loss"), ("temperature", "temperature")):
            setting = f"{prompts} prompts of 3 pairs, temperature {temperature:g}"
            draws = ranked(prompts, temperature, what)
            add(Cell(name, setting, prompts, draws, of_card(what), slow=True, tested=60))
for prompts in (4, 10):
    for temperature in (1.0, 2.5):
        setting = f"{prompts} pairs, temperature {temperature:g}"
        draws = ranked(prompts, temperature, "nll", pairs=1)
        add(Cell("log-loss", setting, prompts, draws, of_card("nll"), slow=True, tested=60))


def longer(rng: Rng, prompts: int, quality: float) -> tuple[Array, Array, Array, Array]:
    """Rewards that pay for length and for quality, of a policy that writes more, and its base's."""
    tokens, base_tokens = rng.normal(60, 15, prompts), rng.normal(50, 15, prompts)
    shared = rng.normal(size=prompts)
    reward = quality + 0.03 * tokens + shared + 0.5 * rng.normal(size=prompts)
    base = 0.03 * base_tokens + shared + 0.5 * rng.normal(size=prompts)
    return reward, tokens, base, base_tokens


@cache
def length_truth(quality: float) -> float:
    """The same share in 400,000 prompts."""
    found = gain_at_equal_length(*longer(np.random.default_rng(0), 400_000, quality))
    assert found is not None
    return found.value


for prompts in (60, 200):
    for quality in (0.1, 0.5):
        add(
            Cell(
                "gain at equal length",
                f"{prompts} prompts, {quality:g} of quality to .3 of length",
                prompts,
                lambda rng, n=prompts, q=quality: (longer(rng, n, q), length_truth(q)),
                lambda data: gain_at_equal_length(*data),
            )
        )
