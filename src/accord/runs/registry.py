"""The kinds of stages, imported only when a recipe uses them. Others may add theirs by entry
point."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from accord.errors import ConfigError
from accord.runs.stage import Stage
from accord.validation import suggest

GROUP = "accord.stages"
_BUILTIN = {
    "reviews": "accord.runs.stages.reviews:Reviews",
    "planted": "accord.runs.stages.planted:Planted",
    "corpus": "accord.runs.stages.corpus:CorpusOfData",
    "filler_task": "accord.runs.stages.filler_task:FillerTask",
    "planted_rules": "accord.runs.stages.planted_rules:PlantedRules",
    "label_world": "accord.runs.stages.label_world:LabelWorld",
    "weak_to_strong": "accord.runs.stages.weak_to_strong:WeakToStrong",
    "sandwich": "accord.runs.stages.sandwich:Sandwich",
    "prover_verifier": "accord.runs.stages.prover_verifier:ProverVerifier",
    "self_play_world": "accord.runs.stages.self_play_world:SelfPlayWorld",
    "review_debate": "accord.runs.stages.review_debate:ReviewDebate",
    "digit_debate": "accord.runs.stages.digit_debate:DigitDebate",
    "model_debate": "accord.runs.stages.model_debate:ModelDebate",
    "constrained_world": "accord.runs.stages.constrained_world:ConstrainedWorld",
    "shaping_world": "accord.runs.stages.shaping_world:ShapingWorld",
    "reward_distance_world": "accord.runs.stages.reward_distance_world:RewardDistanceWorld",
    "goal_inference_world": "accord.runs.stages.goal_inference_world:GoalInferenceWorld",
    "inverse_reward_world": "accord.runs.stages.inverse_reward_world:InverseRewardWorld",
    "feedback_kinds_world": "accord.runs.stages.feedback_kinds_world:FeedbackKindsWorld",
    "assistance_world": "accord.runs.stages.assistance_world:AssistanceWorld",
    "teaching_world": "accord.runs.stages.teaching_world:TeachingWorld",
    "off_switch_world": "accord.runs.stages.off_switch_world:OffSwitchWorld",
    "gallery_world": "accord.runs.stages.gallery_world:GalleryOfWorlds",
    "maze_cloning": "accord.runs.stages.maze_cloning:MazeCloning",
    "imitate": "accord.runs.stages.imitate:Imitate",
    "deep_reward_world": "accord.runs.stages.deep_reward_world:DeepRewardWorld",
    "clip_acquisition_world": "accord.runs.stages.clip_acquisition_world:ClipAcquisitionWorld",
    "clip_reward": "accord.runs.stages.clip_reward:RewardOfClips",
    "learn_from_clips": "accord.runs.stages.learn_from_clips:LearnFromClips",
    "review_count": "accord.runs.stages.review_count:ReviewCount",
    "summarise": "accord.runs.stages.summarise:Summarise",
    "review_levels": "accord.runs.stages.review_levels:ReviewLevels",
    "review_cuts": "accord.runs.stages.review_cuts:ReviewCuts",
    "pretrain": "accord.runs.stages.pretrain:Pretrain",
    "prompts": "accord.runs.stages.prompts:PromptsOfData",
    "preferences": "accord.runs.stages.preferences:Preferences",
    "sft": "accord.runs.stages.sft:Sft",
    "mine": "accord.runs.stages.mine:Mine",
    "people": "accord.runs.stages.people:WaitForPeople",
    "collect": "accord.runs.stages.collect:Collect",
    "reward": "accord.runs.stages.reward:Reward",
    "rules": "accord.runs.stages.rules:Rules",
    "ppo": "accord.runs.stages.ppo:Ppo",
    "rloo": "accord.runs.stages.ppo:Rloo",
    "grpo": "accord.runs.stages.ppo:Grpo",
    "reinforce": "accord.runs.stages.ppo:Reinforce",
    "dpo": "accord.runs.stages.dpo:Dpo",
    "kto": "accord.runs.stages.kto:Kto",
    "revise": "accord.runs.stages.revise:Revise",
    "criticise": "accord.runs.stages.criticise:Criticise",
    "refine": "accord.runs.stages.refine:Refine",
    "violations": "accord.runs.stages.violations:Violations",
    "questions": "accord.runs.stages.questions:Questions",
    "score": "accord.runs.stages.score:Score",
    "ask": "accord.runs.stages.ask:Ask",
    "best_of_n": "accord.runs.stages.best_of_n:BestOfN",
    "failures": "accord.runs.stages.failures:Failures",
    "probe": "accord.runs.stages.probe:PolicyProbe",
    "examine": "accord.runs.stages.examine:Examine",
}
_RENAMED = {"judge": "score"}
"""What a kind of stage was called once -> what it is called now."""
_added: dict[str, type[Stage]] = {}


def register(stage: type[Stage]) -> type[Stage]:
    """Add a kind of stage from Python (usable as a decorator)."""
    _added[stage.kind] = stage
    return stage


def kinds() -> list[str]:
    """All known kinds, ours first."""
    return [*_BUILTIN, *_added, *(point.name for point in entry_points(group=GROUP))]


def find(kind: str) -> type[Stage]:
    """The stage class of `kind`; raises ConfigError with the nearest names when there is none."""
    if kind in _added:
        return _added[kind]
    if kind in _BUILTIN:
        module, name = _BUILTIN[kind].split(":")
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    for point in entry_points(group=GROUP):
        if point.name == kind:
            return _load(point)
    if kind in _RENAMED:
        raise ConfigError(
            f"there is no stage kind {kind!r} any more", f"it is called {_RENAMED[kind]!r} now"
        )
    raise ConfigError(
        f"there is no stage kind {kind!r}", f"{suggest(kind, kinds())}known: {', '.join(kinds())}"
    )


def _load(point: EntryPoint) -> type[Stage]:
    """The stage class of a plugin. Raises ConfigError, naming it, where it cannot be imported or is
    none."""
    whose = point.dist.name if point.dist is not None else "a package"
    where = f"the plugin {point.value} of {whose}, which gives the stage kind {point.name!r},"
    fix = f"update or uninstall {whose}; every other kind still works"
    try:
        stage = point.load()
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{where} cannot be imported: {type(error).__name__}: {error}", fix
        ) from error
    if not (isinstance(stage, type) and issubclass(stage, Stage) and hasattr(stage, "Config")):
        raise ConfigError(f"{where} is no stage with a Config", fix)
    return stage
