"""The layouts of public sets and of other tools' exports, each told from all others by the names of
its columns."""

from __future__ import annotations

from accord.feedback.formats import (
    flat_forms,
    flat_trees,
    judged_pairs,
    langfuse,
    many_answers,
    math_shepherd,
    named_pairs,
    nvidia,
    open_webui,
    prodigy,
    refusals,
    safety,
)  # fmt: skip
from accord.feedback.formats.making import PAIR_COLUMNS as SIDES
from accord.feedback.formats.shape import Shape, has

PUBLIC = (
    Shape("Open-Assistant messages", ("message_id", "parent_id", "text", "role", "message_tree_id"), flat_trees.is_flat_tree, None, flat_trees.OWN, keeps=True, prepare=flat_trees.prepare, means="the trees of the messages, as Open-Assistant trees; messages of a tree that is not whole are dropped"),
    Shape("Label Studio, short (JSON_MIN, CSV)", ("id", "annotator", "annotation_id"), flat_forms.is_json_min, None, keeps=True, prepare=flat_forms.prepare_json_min, means="as Label Studio; answers are the columns between id and annotator"),
    Shape("Argilla on the Hub", ("QUESTION.responses",), flat_forms.is_argilla_flat, None, keeps=True, prepare=flat_forms.prepare_argilla, means="as Argilla"),
    Shape("Open WebUI feedback", ("type", "data", "meta", "snapshot"), open_webui.is_open_webui, open_webui.open_webui, open_webui.OWN, keeps=True, means="with other models' answers beside it a comparison (or ranking), else a thumb; the score of 1 to 10 a rating, the comment a critique; without the chat's snapshot dropped"),
    Shape("Prodigy", ("text", "answer"), prodigy.is_prodigy, None, prodigy.OWN, prepare=prodigy.prepare, means="accepted options over the others: comparison or ranking; options that are the same in all rows are labels: flags; ignored and rejected tasks: skips"),
    Shape("Langfuse scores", ("name", "value", "traceId"), langfuse.is_langfuse, None, langfuse.OWN, prepare=langfuse.prepare, means="truth values are thumbs, numbers ratings, categories flags, comments critiques; without columns input and output refused: the texts are not in the file"),
    Shape("PKU-SafeRLHF", ("prompt", "response_0", "response_1", "better_response_id"), safety.is_pku, safety.pku, safety.PKU_COLUMNS, means="attribute_comparison: helpful (better_response_id), safe (safer_response_id); flags of each answer: safe, harms, severity"),
    Shape("BeaverTails, PKU-SafeRLHF-QA", ("prompt", "response", "is_safe"), has("prompt", "response", "is_safe"), safety.harm, safety.HARM_COLUMNS, means="flags: safe or not, harms, severity; never a demonstration"),
    Shape("Anthropic red team", ("transcript", "rating", "task_description"), has("transcript", "rating", "task_description"), safety.red_team, ("red_team_member_id", "model_type", "num_params", "tags"), means="flags of the conversation: attack success, 0 to 4 (more is worse, so it is not a rating), tags"),
    Shape("SHP", ("history", "human_ref_A", "human_ref_B", "labels"), has("history", "human_ref_A", "human_ref_B", "labels"), judged_pairs.shp, means="comparison: labels 1 prefers A, 0 prefers B"),
    Shape("WebGPT comparisons", ("question", "answer_0", "answer_1", "score_0", "score_1"), has("question", "answer_0", "answer_1", "score_0", "score_1"), judged_pairs.webgpt, means="comparison: the higher score is better, equal ones tie"),
    Shape("HelpSteer2 preferences", ("prompt", "response_1", "response_2", "preference_strength"), has("prompt", "response_1", "response_2", "preference_strength"), nvidia.helpsteer2, means="comparison with its strength: negative prefers response_1, positive response_2, 0 ties"),
    Shape("HelpSteer3 preferences", ("context", "response1", "response2", "overall_preference"), has("context", "response1", "response2", "overall_preference"), nvidia.helpsteer3, means="the same by overall_preference; single annotators' preferences are counted"),
    Shape("HelpSteer3 edits", ("context", "original_response", "edited_response"), has("context", "original_response", "edited_response"), nvidia.helpsteer3_edit, means="correction: the edited response over the original one"),
    Shape("summarize_from_feedback, comparisons", ("info", "summaries", "choice"), judged_pairs.is_summaries, judged_pairs.summaries, ("extra",), means="comparison: choice is the place of the preferred summary; worker annotator, policy producer"),
    Shape("summarize_from_feedback, axes", ("info", "summary"), judged_pairs.is_summary_axes, judged_pairs.summary_axes, means="rating of 1 to 7 per axis"),
    Shape("AlpacaEval, AlpacaFarm", ("instruction", "output_1", "output_2", "preference"), has("instruction", "output_1", "output_2", "preference"), judged_pairs.alpaca_eval, ("input", "generator_1", "generator_2", "annotator_index"), means="comparison: 1 prefers output_1, 2 output_2, 1.5 and 0 tie; between them a probability"),
    Shape("LLMBar", ("input", "output_1", "output_2", "label"), has("input", "output_1", "output_2", "label"), judged_pairs.llmbar, means="comparison: label 1 prefers output_1, 2 output_2"),
    Shape("PandaLM", ("instruction", "response1", "response2", "label_0"), judged_pairs.is_panda, judged_pairs.panda, ("input", "inputs", "outputs", "cmp_key", *judged_pairs.PANDA_LABELS), means="a comparison per annotator: 1, 2, or 0 (Tie); of the training set the reason is a critique"),
    Shape("Nectar", ("prompt", "answers"), many_answers.is_nectar, many_answers.nectar, means="ranking: rank 1 is best"),
    Shape("Stack Exchange answers", ("question", "answers"), many_answers.is_stack_answers, many_answers.stack_answers, means="ranking by pm_score (of two answers a comparison)"),
    Shape("Stack Exchange pairs", ("question", "response_j", "response_k"), has("question", "response_j", "response_k"), named_pairs.stack_pair, means="comparison: response_j is the better one"),
    Shape("RewardBench 2", ("prompt", "chosen", "rejected"), many_answers.is_best_of, many_answers.best_of, means="ranking: every chosen answer over every rejected one"),
    Shape("OpenAI preferences", ("input", *named_pairs.OPENAI), has("input", *named_pairs.OPENAI), named_pairs.openai_pair, means="comparison with the input's tools"),
    Shape("UltraInteract pairs", ("trajectory", "chosen", "rejected"), has("trajectory", "chosen", "rejected"), named_pairs.trajectory_pair, SIDES, means="comparison after the trajectory"),
    Shape("Alpaca preferences", ("instruction", "chosen", "rejected"), has("instruction", "chosen", "rejected"), named_pairs.alpaca_pair, ("input", *SIDES), means="comparison"),
    Shape("Alpaca comparisons (old)", ("instruction", "output"), named_pairs.is_old_comparison, named_pairs.old_comparison, ("input",), means="comparison: output is the better, then the worse answer"),
    Shape("orca pairs", ("question", "chosen", "rejected"), lambda row: "prompt" not in row and has("question", "chosen", "rejected")(row), named_pairs.asked_pair, SIDES, means="comparison; the question is a user's message"),
    Shape("orca pairs of distilabel", ("input", "chosen", "rejected"), lambda row: "prompt" not in row and has("input", "chosen", "rejected")(row), named_pairs.asked_pair, ("rating", "order", "status", *SIDES), means="comparison; status \"tie\" is a tie"),
    Shape("Math-Shepherd", ("input", "label"), math_shepherd.is_math_shepherd, math_shepherd.math_shepherd, means="step labels: + is good, - is bad"),
    Shape("Dolly", ("instruction", "context", "response"), has("instruction", "context", "response"), named_pairs.dolly, means="demonstration; the context is what is asked about"),
    Shape("GSM8K", ("question", "answer"), named_pairs.is_gsm8k, named_pairs.gsm8k, means="demonstration of the worked answer, which ends in #### and the result"),
)  # fmt: skip
LAST = (
    Shape("text", ("text",), refusals.is_text, refusals.text, means="demonstration of the whole text, with an empty prompt: for pretraining and supervised tuning", note="each text is a demonstration without a prompt; if they are prompts, say so: columns: {prompt: text}"),
    Shape("items to be judged", ("prompt", "responses"), refusals.is_items, None, prepare=refusals.refuse_items, means="refused: nobody judged them"),
)  # fmt: skip
