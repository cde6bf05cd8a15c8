"""The stage clip_reward: a reward from judgements of clips that are there already."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("gymnasium", reason="the extra control is not installed")
pytest.importorskip("mujoco", reason="the extra control is not installed")

from accord.control.clip_reward import ClipReward, ClipRewardSettings, member_seed
from accord.control.episodes import EpisodeStore
from accord.control.grounding import corrected, demonstrated, designed, found, stopped, told
from accord.control.leaving import saved_reward
from accord.control.making import make as make_environment
from accord.control.reading_clips import judged_clips
from accord.control.recording import record, recorded_where
from accord.control.rollouts import at_random
from accord.errors import AccordError, ConfigError, DataError
from accord.feedback.messages import Clip, ClipSet
from accord.feedback.records import Comparison, Feedback, Option, Rating
from accord.runs import runner
from accord.runs.checks import check
from accord.runs.context import StageProgress
from accord.runs.recipe import Recipe, load
from accord.seeds import derive_seed


def episodes(folder: Path, environment: str = "Pendulum-v1", count: int = 12) -> EpisodeStore:
    """Of a policy that does anything; two folders give their episodes the same names."""
    batch = recorded_where(environment, count, 40)
    store = EpisodeStore(folder)
    made = record(batch, at_random(batch.actions), count, len(folder.name)).episodes
    store.append([replace(one, id=f"e{n}") for n, one in enumerate(made)])
    return store


def compared(store: EpisodeStore, count: int) -> list[Feedback]:
    """Pairs of clips of ten steps, by what the environment paid."""
    rng, found = np.random.default_rng(1), []
    for number in range(count):
        drawn = zip(rng.choice(store.ids, 2, replace=False), rng.integers(30, size=2), strict=True)
        clips = [Clip(episode=str(e), start=int(s), stop=int(s) + 10) for e, s in drawn]
        paid = [store.clip(clip).reward_T.sum() for clip in clips]
        options = [Option(id=n, content=c, shown_at=k) for k, (n, c) in enumerate(zip("ab", clips, strict=True))]  # fmt: skip
        found.append(
            Feedback(
                id=f"{store.folder.name}-{number}", kind="comparison", prompt="Which is better?", options=options,
                choice=Comparison(preferred="ab"[int(np.argmax(paid))]), annotator="ann",
            )
        )  # fmt: skip
    return found


def written(path: Path, records: list[Feedback]) -> Path:
    path.write_text("".join(one.model_dump_json() + "\n" for one in records))
    return path


def recipe(tmp_path: Path, sources: list[dict[str, str]], **more: Any) -> Recipe:
    stage = {
        "kind": "clip_reward",
        "sources": sources,
        "updates": 60,
        "reward": {"hidden": 16},
    } | more
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({"name": "small", "stages": {"reward": stage}}))
    return load(str(path))


def run(made: Recipe, folder: Path) -> dict[str, Any]:
    runner.execute(made, folder, False, StageProgress(), {})
    found: dict[str, Any] = json.loads((folder / "stages/01-reward/result.json").read_text())
    return found


def test_two_places_whose_episodes_have_the_same_names_teach_one_reward(tmp_path: Path) -> None:
    """Comparisons beside stops, corrections and a demonstration; the same to the bit as what the
    records say by themselves."""
    one, other = episodes(tmp_path / "one"), episodes(tmp_path / "other")
    assert one.ids == other.ids
    assert one.episode(one.ids[0]).digest != other.episode(one.ids[0]).digest
    whole = [Clip(episode=name, start=0, stop=40) for name in other.ids[:4]]
    said = [
        stopped("Q", whole[0], 7, "bob"),
        corrected("Q", whole[1], whole[2], "bob"),
        demonstrated("Q", whole[3], whole[:2], "ann"),
    ]
    first, second = compared(one, 60), compared(other, 37) + said
    sources = [
        {"feedback": str(written(tmp_path / "one.jsonl", first)), "episodes": str(one.folder)},
        {
            "feedback": str(written(tmp_path / "other.jsonl", second)),
            "episodes": str(tmp_path / "other"),
        },
    ]
    made = recipe(tmp_path, sources)
    result = run(made, tmp_path / "run")
    values = result["values"]
    assert values["judgements"] == 100
    assert "97 comparison, 1 stop, 1 correction, 1 demonstration" in result["summary"]
    assert values["gold_accuracy"] > 0.5
    card = json.loads((tmp_path / "run/stages/01-reward/card.json").read_text())
    assert card["pairs"] >= 10
    told = json.loads((tmp_path / "run/stages/01-reward/annotators.json").read_text())
    assert [row["annotator"] for row in told["annotators"]] == ["ann", "bob"]
    assert all(
        "lapse" not in row or row["lapse"] == pytest.approx(0.1) for row in told["annotators"]
    )
    assert told["annotators"][0]["rationality"] != told["annotators"][1]["rationality"]
    assert values["card_pairs"] == card["pairs"]
    assert f"% of {card['pairs']} pairs held out are ordered as judged" in result["summary"]
    page = (tmp_path / "run/report.html").read_text()
    shown = page[page.index('id="reward-of-clips"') :]
    assert "reward: does the learned reward tell better clips from worse ones" in shown
    assert f"On {card['pairs']} held-out pairs it agrees" in shown

    class Both:
        def clip(self, clip: Clip) -> Any:
            number, _, name = clip.episode.partition("-from-")
            return (one, other)[int(number)].clip(clip.model_copy(update={"episode": name}))

    def renamed(record: Feedback, number: int) -> Feedback:
        told = record.model_dump()
        for option in told["options"]:
            option["content"]["episode"] = f"{number}-from-{option['content']['episode']}"
        return Feedback.model_validate(told)

    records = [renamed(r, n) for n, some in enumerate((first, second)) for r in some]
    env = make_environment("Pendulum-v1", 1)
    seed = derive_seed(made.header.seed, "stage", "reward")
    mine = ClipReward(ClipRewardSettings(hidden=16), env.observation_size, env.actions, member_seed(seed))  # fmt: skip
    shown = dict.fromkeys(o.content for r in records for o in r.options if isinstance(o.content, Clip))  # fmt: skip
    mine.fix_scale(np.concatenate([mine.of_episode(Both().clip(clip)) for clip in shown]))
    judged, _ = judged_clips(records, Both(), mine)
    assert judged is not None
    mine.begin_unsure(judged)
    mine.learn(judged, 60)
    if judged.uneven:
        mine.keep_zero()
    path = tmp_path / "run/stages/01-reward/reward.safetensors"
    theirs = saved_reward(path, env.observation_size, env.actions)
    inputs = mine.of_episode(one.episode(one.ids[0]))
    np.testing.assert_array_equal(mine.rewards(inputs), theirs.rewards(inputs))


def test_what_was_meant_found_and_said_teaches_beside_comparisons(tmp_path: Path) -> None:
    """Options that stand for several clips, in one of two places whose episodes have the same
    names."""
    one, other = episodes(tmp_path / "one"), episodes(tmp_path / "other")
    clips = [Clip(episode=name, start=at, stop=at + 10) for name in other.ids for at in (0, 20)]
    paid = {clip: float(other.clip(clip).reward_T.sum()) for clip in clips}
    best_first = sorted(clips, key=paid.__getitem__, reverse=True)
    sets = {"good": best_first[:5], "usual": best_first[5:15], "bad": best_first[15:]}
    said = [
        make(f"Q{n}", sets, "good", "bob") for n in range(4) for make in (designed, found, told)
    ]
    sources = [
        {
            "feedback": str(written(tmp_path / f"{store.folder.name}.jsonl", records)),
            "episodes": str(store.folder),
        }
        for store, records in ((one, compared(one, 30)), (other, said))
    ]
    made = recipe(tmp_path, sources)
    kinds = "42 judgements of clips (30 comparison, 4 proxy, 4 initial_state, 4 words)"
    assert kinds in str(check(made, tmp_path / "dry")["reward"].notes)
    result = run(made, tmp_path / "run")
    assert result["values"]["judgements"] == 42
    assert result["values"]["left_out"] == 0
    assert kinds in result["summary"]
    env = make_environment("Pendulum-v1", 1)
    path = tmp_path / "run/stages/01-reward/reward.safetensors"
    reward = saved_reward(path, env.observation_size, env.actions)

    def worth(clip: Clip) -> float:
        return float(reward.rewards(reward.inputs(*_seen(other, clip))).sum())

    means = {name: np.mean([worth(clip) for clip in some]) for name, some in sets.items()}
    assert means["good"] > max(means["usual"], means["bad"])


def _seen(store: EpisodeStore, clip: Clip) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    piece = store.clip(clip)
    return piece.observation_TO[:-1], piece.action_TA, piece.observation_TO[1:]


def test_a_run_of_clips_hands_its_judgements_on(tmp_path: Path) -> None:
    stages = {
        "learn": {
            "kind": "learn_from_clips", "environment": "Pendulum-v1", "episode_steps": 40, "steps": 800, "horizon": "fixed",
            "comparisons": 20, "first_comparisons": 10, "rounds": 2, "clip": 10, "points": 1, "evaluation": 2,
            "policy": {"environments": 4, "rollout": 40, "minibatch": 80, "hidden": 8, "epochs": 1},
            "reward": {"hidden": 8, "first_steps": 4, "round_steps": 2},
        },
        "reward": {
            "kind": "clip_reward", "updates": 5,
            "sources": [{"feedback": "stage:learn/feedback", "episodes": "stage:learn/episodes"}],
        },
    }  # fmt: skip
    path = tmp_path / "both.yaml"
    path.write_text(yaml.safe_dump({"name": "both", "stages": stages}))
    runner.execute(load(str(path)), tmp_path / "run", False, StageProgress(), {})
    told = json.loads((tmp_path / "run/stages/02-reward/result.json").read_text())
    assert told["values"]["judgements"] == 20
    assert set(told["inputs"]) == {"stage:learn/feedback", "stage:learn/episodes"}


def test_a_reward_of_texts_is_not_taught_by_clips(tmp_path: Path) -> None:
    told = yaml.safe_load(Path("recipes/backflip.yaml").read_text())
    told["stages"]["texts"] = {
        "kind": "reward",
        "learning_rate": 1e-3,
        "model": "some-model",
        "feedback": "stage:learn/feedback",
    }
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(told))
    with pytest.raises(ConfigError, match="judgements of clips, not judgements"):
        load(str(path))


def said_wrongly(tmp_path: Path, how: str) -> list[dict[str, str]]:
    """Sources that cannot teach."""
    store = episodes(tmp_path / "some", count=4)
    records = compared(store, 4)
    place, sources = str(store.folder), []
    if how == "text":
        options = [Option(id=n, content=f"text {n}", shown_at=k) for k, n in enumerate("ab")]
        records[1] = records[1].model_copy(update={"options": options})
    elif how == "across":
        last = records[2].options[1].model_copy(update={"content": Clip(episode=store.ids[0], start=35, stop=45)})  # fmt: skip
        records[2] = records[2].model_copy(update={"options": [records[2].options[0], last]})
    elif how == "set":
        several = ClipSet(clips=[Clip(episode=store.ids[n], start=35, stop=stop) for n, stop in enumerate((40, 45))])  # fmt: skip
        options = [
            records[2].options[0],
            records[2].options[1].model_copy(update={"content": several}),
        ]
        records[2] = records[2].model_copy(update={"options": options})
    elif how == "none":
        records = [records[0].model_copy(update={"weight": 0.0})]
    elif how == "alike":
        one = {"kind": "rating", "choice": Rating(scores={"overall": 3})}
        records = [records[0].model_copy(update=one | {"options": records[0].options[:1]})]
    elif how == "two":
        cart = episodes(tmp_path / "cart", "CartPole-v1", 4)
        at = [Option(id=n, content=Clip(episode=e, start=0, stop=5), shown_at=k)
              for k, (n, e) in enumerate(zip("ab", cart.ids, strict=False))]  # fmt: skip
        others = [records[3].model_copy(update={"id": "c", "options": at})]
        sources = [
            {"feedback": str(written(tmp_path / "c.jsonl", others)), "episodes": str(cart.folder)}
        ]
    elif how == "nowhere":
        place = str(tmp_path / "nothing")
    elif how == "empty":
        (tmp_path / "bare").mkdir()
        place = str(tmp_path / "bare")
    elif how == "file":
        return [{"feedback": str(tmp_path / "gone.jsonl"), "episodes": place}]
    return [{"feedback": str(written(tmp_path / "f.jsonl", records)), "episodes": place}, *sources]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("text", "is a text, not a clip"),
        ("set", r"the clip \[35, 45\) leaves episode .*, which has 40 steps"),
        ("across", r"the clip \[35, 45\) leaves episode .*, which has 40 steps"),
        ("none", "none of 1 records teaches a reward: 1 comparison of weight 0"),
        ("alike", "none of 1 records teaches a reward: 1 rating .*"),
        ("two", "shows a clip of CartPole-v1, others are of Pendulum-v1"),
        ("nowhere", r"sources.0.episodes: there is no folder"),
        ("empty", "holds 0 stores of episodes"),
        ("file", r"sources.0.feedback: there is no file"),
    ],
)
def test_what_teaches_no_reward_is_said_before_the_run(tmp_path: Path, how: str, said: str) -> None:
    made = recipe(tmp_path, said_wrongly(tmp_path, how))
    with pytest.raises(AccordError, match=said) as caught:
        check(made, tmp_path / "run")
    assert isinstance(caught.value, DataError | ConfigError)
    assert not (tmp_path / "run").exists()


def test_shares_of_lapses_are_learned_of_each(tmp_path: Path) -> None:
    store = episodes(tmp_path / "one")
    said = compared(store, 40)
    said += [one.model_copy(update={"annotator": "bob", "id": f"b{one.id}"}) for one in said]
    sources = [
        {"feedback": str(written(tmp_path / "one.jsonl", said)), "episodes": str(store.folder)}
    ]
    run(recipe(tmp_path, sources, reward={"hidden": 16, "lapses": "each"}), tmp_path / "run")
    told = json.loads((tmp_path / "run/stages/01-reward/annotators.json").read_text())
    lapses = [row["lapse"] for row in told["annotators"]]
    assert 0 < min(lapses) < max(lapses) < 0.5
