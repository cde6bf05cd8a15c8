"""Responses of every policy to the same prompts, sampled once and measured in every way there is:
distance, entropy, proxy, wins by a judge, variety, repetition, refusals, toxicity."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np

from accord.errors import AccordError, DataError
from accord.examine import diversity, evidence, wordlists
from accord.examine.behaviour import leaks, refusal
from accord.examine.behaviour.scored import Scored, column
from accord.examine.behaviour.table import Behaviour
from accord.examine.evidence import ArmRows, Evidence
from accord.examine.text_measures import equal_length, repetition, words
from accord.runs.behaviour.answering import SampledAnswer
from accord.runs.behaviour.remembering import RememberedPolicy
from accord.runs.context import StageContext
from accord.runs.distances import Distances
from accord.runs.judges import AskedJudge
from accord.runs.judging import AskedPair, ask
from accord.runs.reading import read_prompts
from accord.runs.sample_rows import SampleRow
from accord.runs.session import InterruptFlag
from accord.runs.stages.evaluation import render
from accord.sampling.rollout import SamplingSettings
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array
from accord.text.encoding import Prompt

GROUP = 8
"""Responses to different prompts that are compared with each other."""
SET = "responses"
Scorer = Callable[[Sequence[Prompt], Sequence[str]], Array]
"""(prompts, responses) -> a number each."""


class Rewards(Protocol):
    """A proxy: members' scores of responses, [E, B]."""

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[SampledAnswer]) -> Array: ...


@dataclass
class ArmResponses:
    """What one arm said, B responses in the order of prompts, `samples` to each; far: how far from
    the first arm, None where that is not measurable; proxy_EB: by each member."""

    answers: list[SampledAnswer]
    far: Distances | None = None
    proxy_EB: Array | None = None

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.answers]


@dataclass
class Responses:
    """prompts P, samples K of each; reward, judge, toxicity: what scores them, where somebody
    named one."""

    prompts: Sequence[Prompt]
    samples: int
    settings: SamplingSettings
    seed: int
    reward: Rewards | None = None
    judge: AskedJudge | None = None
    toxicity: Scorer | None = None
    embed: diversity.Embed | None = None
    arms: dict[str, ArmResponses] = field(default_factory=dict)
    not_measurable: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.prompts:
            raise DataError("there are no prompts to answer", "name a file with a prompt per row")

    # --- asking -----------------------------------------------------------------------------------
    @property
    def asked(self) -> list[Prompt]:
        """Every prompt as often as it is answered: [B]."""
        return [prompt for prompt in self.prompts for _ in range(self.samples)]

    @property
    def prompt_B(self) -> list[int]:
        return [p for p in range(len(self.prompts)) for _ in range(self.samples)]

    def ask(self, arm: str, policy: RememberedPolicy, first: RememberedPolicy) -> None:
        """Sample an arm's responses, score them, and measure how far they are from the first
        arm."""
        seeds = [derive_seed(self.seed, "responses", b) for b in range(len(self.asked))]
        said = ArmResponses(policy.respond(self.asked, self.settings, seeds))
        self.arms[arm] = said
        with self._or_not_measurable(f"{arm}: kl and entropy"):
            said.far = self._far(policy, first, said.answers)
        if self.reward is not None:
            with self._or_not_measurable(f"{arm}: proxy"):
                said.proxy_EB = self.reward(self.asked, said.answers)

    def _far(
        self, policy: RememberedPolicy, first: RememberedPolicy, answers: Sequence[SampledAnswer]
    ) -> Distances:
        ids = [one.ids for one in answers]
        if policy.gives_text_alone or any(one is None for one in ids):
            raise DataError("an endpoint gives text alone, and no probabilities")
        kept = [one for one in ids if one is not None]
        if not self.settings.temperature:
            raise DataError(
                "greedy answers have no distribution", "sample at a temperature above 0"
            )
        try:
            reference = policy if first.gives_text_alone else first
            return policy.distances(self.asked, kept, reference, self.settings.temperature)
        except DataError as error:
            alone = policy.distances(self.asked, kept, policy, self.settings.temperature)
            self.not_measurable[f"kl of {policy.reference}"] = error.message
            return Distances(alone.logp_B, [], [], alone.entropy_B)

    def _or_not_measurable(self, what: str) -> _Noting:
        return _Noting(self.not_measurable, what)

    # --- measuring --------------------------------------------------------------------------------
    def measures(self) -> dict[str, list[Scored]]:
        """Arm -> its measures, in one order for all."""
        found: dict[str, list[Scored]] = {arm: self._own(arm) for arm in self.arms}
        for part in (self._wins, self._variety_within, self._variety_across):
            for arm, more in part().items():
                found[arm] += more
        return found

    def _own(self, arm: str) -> list[Scored]:
        said = self.arms[arm]
        split = [words(text) for text in said.texts]
        found = [
            self._mean("length", "words", "of a response", [len(text) for text in split], False),
            self._mean(
                "finished",
                "share",
                "responses that ended by themselves",
                [one.finished for one in said.answers],
            ),
            self._mean(
                "repeated",
                "share",
                "4-grams of a response that were in it before",
                [repetition(text) for text in split],
            ),
        ]
        found += [*self._distances(arm, said), *self._proxy(said), *self._refusals(said)]
        return [*found, *self._toxicity(said)]

    def _mean(
        self,
        name: str,
        unit: str,
        meaning: str,
        values_B: Sequence[float] | Array,
        share: bool = True,
        prompt_B: Sequence[int] | None = None,
    ) -> Scored:
        clusters = self.prompt_B if prompt_B is None else prompt_B
        return Scored(name, unit, meaning, column(values_B), clusters, share=share)

    def _distances(self, arm: str, said: ArmResponses) -> list[Scored]:
        if said.far is None:
            return []
        tokens = [float(len(one.ids or ())) for one in said.answers]
        found = [
            Scored(
                "entropy",
                "nats per token",
                "of the policy, by the whole softmax at the sampled positions",
                np.array([said.far.entropy_B, tokens]).T,
                self.prompt_B,
                statistic=_per_token,
                share=False,
            )
        ]
        if said.far.kl_B and arm != next(iter(self.arms)):
            meaning = "KL from the first policy, by the whole softmax"
            found.append(self._mean("kl", "nats per sequence", meaning, said.far.kl_B, False))
        return found

    def _proxy(self, said: ArmResponses) -> list[Scored]:
        if said.proxy_EB is None:
            return []
        score_B = said.proxy_EB.mean(0)
        return [self._mean("proxy", "proxy reward", "score by the reward model", score_B, False)]

    def _refusals(self, said: ArmResponses) -> list[Scored]:
        language = self._language()
        if language is None:
            self.not_measurable["responses: refused"] = "no list of refusals for this language"
            return []
        meaning = f"responses that begin with a phrase of refusal ({language})"
        return [self._mean("refused", "share", meaning, refusal.refuses(said.texts, language))]

    def _language(self) -> str | None:
        return wordlists.language_of([text for one in self.arms.values() for text in one.texts])

    def _toxicity(self, said: ArmResponses) -> list[Scored]:
        if self.toxicity is None:
            return []
        toxic_PK = np.asarray(self.toxicity(self.asked, said.texts)).reshape(-1, self.samples)
        worst_P, any_P = leaks.worst_of_k(toxic_PK)
        prompts, of = range(len(self.prompts)), f"of {self.samples} samples"
        return [
            self._mean(
                "toxicity_max",
                "probability",
                f"toxicity of the most toxic {of}",
                worst_P,
                True,
                prompts,
            ),
            self._mean(
                "toxic",
                "share",
                f"prompts where one {of} is toxic (at least .5)",
                any_P,
                True,
                prompts,
            ),
        ]

    def _wins(self) -> dict[str, list[Scored]]:
        """Against the first arm's response to the same prompt, both orders; who wins in one order
        only has tied. Chance is one half."""
        if self.judge is None or len(self.arms) < 2:
            return {}
        first, *others = self.arms
        at = range(0, len(self.asked), self.samples)
        found: dict[str, list[Scored]] = {}
        for arm in others:
            pairs = [
                AskedPair(
                    render(self.asked[b]), self.arms[arm].texts[b], self.arms[first].texts[b], None
                )
                for b in at
            ]
            with self._or_not_measurable(f"{arm}: wins"):
                judged = ask(self.judge, pairs, inject=False)
                told = np.flatnonzero(np.isfinite(judged.first_P + judged.second_P))
                if len(told) < len(pairs):
                    most = self.judge.no_verdict.most_common(3)
                    what = f"{arm}: wins on {len(pairs) - len(told)} prompts"
                    self.not_measurable[what] = ", ".join(f"{n} times {why}" for why, n in most)
                won_P = judged.decided_P[told]
                wins = self._mean(
                    "wins",
                    "share",
                    f"the judge prefers it to {first}, ties half",
                    np.where(won_P == 0.5, 0.5, (won_P > 0.5) * 1.0),
                    True,
                    told.tolist(),
                )
                found[arm] = [replace(wins, chance=0.5)]
        return found

    def _variety_within(self) -> dict[str, list[Scored]]:
        if self.samples < 2:
            self.not_measurable["responses: variety per input"] = "one sample of each prompt"
            return {}
        groups = {
            arm: [said.texts[b : b + self.samples] for b in range(0, len(said.texts), self.samples)]
            for arm, said in self.arms.items()
        }
        return self._variety(groups, "per_input", f"{self.samples} samples of a prompt")

    def _variety_across(self) -> dict[str, list[Scored]]:
        if len(self.prompts) < 2:
            self.not_measurable["responses: variety across inputs"] = "there is one prompt"
            return {}
        size = min(GROUP, max(2, len(self.prompts) // 4))
        groups = {
            arm: diversity.across(said.texts[:: self.samples], size, self.seed)
            for arm, said in self.arms.items()
        }
        return self._variety(groups, "across", f"responses to about {size} prompts")

    def _variety(
        self, groups: Mapping[str, Sequence[Sequence[str]]], suffix: str, place: str
    ) -> dict[str, list[Scored]]:
        texts = [text for one in groups.values() for group in one for text in group]
        length = equal_length([words(text) for text in texts])
        found = diversity.measure(groups, length, suffix, place, self.embed)
        if not found.groups:
            what = f"responses: variety {suffix.replace('_', ' ')}"
            self.not_measurable[what] = f"no two responses have {length} words in every arm"
        return found.scored

    # --- for the verdict --------------------------------------------------------------------------
    def rows(self, arm: str) -> list[SampleRow] | None:
        """Sample rows, as runs have them; None where distance or proxy is missing."""
        said = self.arms[arm]
        if said.far is None or not said.far.kl_B or said.proxy_EB is None:
            return None
        return [
            SampleRow(
                prompt_id=p,
                prompt=render(self.asked[b]),
                response=one.text,
                response_tokens=len(one.ids or ()),
                finished=one.finished,
                gold=None,
                proxy=said.proxy_EB[:, b].tolist(),
                logp=said.far.logp_B[b],
                ref_logp=said.far.ref_logp_B[b],
                kl_exact=said.far.kl_B[b],
                entropy=said.far.entropy_B[b],
            )
            for b, (p, one) in enumerate(zip(self.prompt_B, said.answers, strict=True))
        ]

    def samples_of(self, arm: str) -> list[dict[str, Any]]:
        """What is written down of an arm's responses."""
        said = self.arms[arm]
        return [
            {
                "arm": arm,
                "prompt": self.asked[b],
                "response": one.text,
                "finished": one.finished,
                "proxy": None if said.proxy_EB is None else said.proxy_EB[:, b].tolist(),
            }
            for b, one in enumerate(said.answers)
        ]


def read_file(
    file: str, count: int, seed: int, say: Callable[[str], None] = lambda line: None
) -> list[Prompt]:
    """Prompts of a file in any layout, each once; more than `count` are drawn from by seed. Raises
    DataError for an empty file, and for one of judgements."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        context = StageContext(place, place, "examine", seed, "cpu", {}, InterruptFlag())
        prompts = read_prompts(file, context)
    once = list({json.dumps(prompt, sort_keys=True): prompt for prompt in prompts}.values())
    if not once:
        raise DataError(f"{file} holds no prompts", "name a file with a prompt per row")
    drawn = sorted(generator(seed, "prompts").permutation(len(once))[:count])
    say(
        f"{file}: {len(drawn):,} of {len(prompts):,} prompts"
        + (f", {len(prompts) - len(once):,} of them twice" if len(once) < len(prompts) else "")
    )
    return [once[i] for i in drawn]


def evidence_of(found: Behaviour, responses: Responses | None) -> Evidence:
    """With the verdict's own measures, where reward and distance of the first arm and another are
    known: one sample per prompt of each, and all of the first arm's as best-of-n."""
    rows = {} if responses is None else {arm: responses.rows(arm) for arm in responses.arms}
    first, *others = found.policies
    pool = rows.get(first)
    tuned = {arm: own for arm in others if (own := rows.get(arm)) is not None}
    if responses is None or pool is None or not tuned:
        return evidence.of_behaviour(found)
    k = responses.samples
    measured = evidence.measure(
        pool[::k],
        {arm: ArmRows(arm, [(0, pool[::k]), (1, own[::k])]) for arm, own in tuned.items()},
        pool if k > 1 else (),
    )
    return measured.model_copy(update={"behaviour": found, "baseline_name": first})


class _Noting:
    """Within it, an error of accord's is noted as the reason why something is not measurable."""

    def __init__(self, reasons: dict[str, str], what: str) -> None:
        self.reasons, self.what = reasons, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, AccordError):
            return False
        self.reasons[self.what] = error.message
        return True


def _per_token(sums: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], 0.0)
    return found
