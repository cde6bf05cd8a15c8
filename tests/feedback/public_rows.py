"""One row in the layout of each public set that has a format of its own, written after its card;
GOOD is the better answer."""

from __future__ import annotations

from typing import Any

Q, GOOD, BAD = "Name a colour.", "Blue.", "Seven."
HUMAN = f"\n\nHuman: {Q}\n\nAssistant:"


def say(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def conversation(*texts: str) -> list[dict[str, str]]:
    return [say(("user", "assistant")[i % 2], text) for i, text in enumerate(texts)]


CHAT = conversation(Q)
PAIRS: dict[str, list[dict[str, Any]]] = {
    "SHP": [
        {"history": Q, "human_ref_A": GOOD, "human_ref_B": BAD, "labels": 1, "score_A": 9, "score_B": 2},
        {"history": Q, "human_ref_A": BAD, "human_ref_B": GOOD, "labels": 0, "score_A": 2, "score_B": 9},
    ],
    "WebGPT comparisons": [
        {"question": {"full_text": Q, "id": "1", "dataset": "eli5"}, "answer_0": GOOD, "answer_1": BAD, "score_0": 1.0, "score_1": -1.0},
        {"question": {"full_text": Q, "id": "1", "dataset": "eli5"}, "answer_0": BAD, "answer_1": GOOD, "score_0": -0.3, "score_1": 0.3},
    ],
    "HelpSteer2 preferences": [
        {"prompt": Q, "response_1": GOOD, "response_2": BAD, "preference_strength": -2},
        {"prompt": Q, "response_1": BAD, "response_2": GOOD, "preference_strength": 1},
    ],
    "HelpSteer3 preferences": [
        {"domain": "code", "context": CHAT, "response1": GOOD, "response2": BAD, "overall_preference": -3, "individual_preference": [{"score": -3}]},
        {"domain": "code", "context": CHAT, "response1": BAD, "response2": GOOD, "overall_preference": 2, "individual_preference": []},
    ],
    "summarize_from_feedback, comparisons": [
        {"info": {"id": "t", "post": Q, "title": "T", "subreddit": "r", "article": None}, "summaries": [{"text": GOOD, "policy": "a"}, {"text": BAD, "policy": "b"}], "choice": 0, "worker": "w"},
        {"info": {"id": "t", "article": Q, "site": "cnn"}, "summaries": [{"text": BAD, "policy": "a"}, {"text": GOOD, "policy": "b"}], "choice": 1, "worker": "w"},
    ],
    "AlpacaEval, AlpacaFarm": [
        {"instruction": Q, "input": "", "output_1": GOOD, "output_2": BAD, "preference": 1},
        {"instruction": Q, "output_1": BAD, "output_2": GOOD, "preference": 1.9, "generator_1": "m1", "generator_2": "m2", "annotator": "judge"},
    ],
    "LLMBar": [{"input": Q, "output_1": BAD, "output_2": GOOD, "label": 2}],
    "PandaLM": [
        {"instruction": Q, "input": "", "response1": GOOD, "response2": BAD, "label_0": "1", "label_1": "1", "label_2": "1", "cmp_key": "opt-7b_pythia-6.9b"},
        {"inputs": {"instruction": Q, "input": "", "response1": BAD, "response2": GOOD}, "outputs": {"evaluation_result": "2", "evaluation_reason": "", "reference_response": "Red."}},
    ],
    "Nectar": [
        {"prompt": HUMAN, "answers": [{"answer": BAD, "model": "m", "rank": 2.0}, {"answer": GOOD, "model": "n", "rank": 1.0}], "turns": 1},
    ],
    "Stack Exchange answers": [
        {"qid": 1, "question": Q, "answers": [{"text": BAD, "pm_score": 0, "selected": False, "author_id": 1}, {"text": GOOD, "pm_score": 3, "selected": True, "author_id": 2}]},
    ],
    "Stack Exchange pairs": [{"qid": 1, "question": Q, "response_j": GOOD, "response_k": BAD, "date": "2020"}],
    "RewardBench 2": [{"prompt": Q, "chosen": [GOOD], "rejected": [BAD], "subset": "Focus"}],
    "OpenAI preferences": [
        {"input": {"messages": CHAT, "tools": [], "parallel_tool_calls": True}, "preferred_output": [say("assistant", GOOD)], "non_preferred_output": [say("assistant", BAD)]},
    ],
    "UltraInteract pairs": [{"trajectory": [{"from": "user", "value": Q}], "chosen": GOOD, "rejected": BAD, "id": "1"}],
    "Alpaca preferences": [{"instruction": Q, "input": "", "chosen": GOOD, "rejected": BAD}],
    "Alpaca comparisons (old)": [{"instruction": Q, "input": "", "output": [GOOD, BAD]}],
    "orca pairs": [{"system": "", "question": Q, "chosen": GOOD, "rejected": BAD}],
    "orca pairs of distilabel": [{"system": "", "input": Q, "chosen": GOOD, "rejected": BAD, "status": "swapped", "rating": [9, 3], "order": ["chosen", "rejected"]}],
    "votes between models": [
        {"model_a": "m", "model_b": "n", "winner": "model_a", "conversation_a": conversation(Q, GOOD), "conversation_b": conversation(Q, BAD), "turn": 1},
        {"id": 1, "model_a": "m", "model_b": "n", "prompt": f'["{Q}"]', "response_a": f'["{BAD}"]', "response_b": f'["{GOOD}"]', "winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0},
        {"model_a": "m", "model_b": "n", "winner": "model_b", "prompt": Q, "response_a": BAD, "response_b": GOOD},
        {"model_a": "m", "model_b": "n", "winner": "model_a", "evaluation_session_id": "s", "conversation_a": [{"role": "user", "content": [{"type": "text", "text": Q, "image": None}]}, say("assistant", GOOD)], "conversation_b": [{"role": "user", "content": [{"type": "text", "text": Q, "image": None}]}, say("assistant", BAD)]},
    ],
    "Label Studio, short (JSON_MIN, CSV)": [
        {"prompt": Q, "answer1": BAD, "answer2": GOOD, "id": 1, "comparison": "right", "annotator": 1, "annotation_id": 3, "created_at": "2023-04-17", "lead_time": 2.5},
    ],
    "Argilla on the Hub": [
        {"prompt": Q, "response1": BAD, "response2": GOOD, "preference.responses": ["response2"], "preference.responses.users": ["u"], "preference.responses.status": ["submitted"], "id": "1"},
        {"prompt": Q, "response1": BAD, "response2": GOOD, "preference": [{"user_id": "u", "value": "response2", "status": "submitted"}], "preference-suggestion": None},
    ],
    "Prodigy": [{"text": Q, "options": [{"id": 1, "text": BAD}, {"id": 2, "text": GOOD}], "accept": [2], "answer": "accept", "_timestamp": 1721800000}],
}  # fmt: skip
"""Every row is a comparison that prefers GOOD to BAD."""
SHEPHERD = "What is 1+1? Step 1: 1+1=2 {0}\nStep 2: The answer is: 3 {1}"
OTHERS: dict[str, list[tuple[dict[str, Any], dict[str, int]]]] = {
    "PKU-SafeRLHF": [
        ({"prompt": Q, "response_0": GOOD, "response_1": BAD, "is_response_0_safe": True, "is_response_1_safe": False, "better_response_id": 0, "safer_response_id": 1}, {"attribute_comparison": 1, "flags": 2}),
    ],
    "BeaverTails, PKU-SafeRLHF-QA": [
        ({"prompt": Q, "response": BAD, "category": {"fraud": False}, "is_safe": True}, {"flags": 1}),
        ({"prompt": Q, "response": BAD, "response_source": "m", "harm_category": {"fraud": True}, "severity_level": 2, "is_safe": False}, {"flags": 1}),
    ],
    "Anthropic red team": [({"transcript": f"{HUMAN} {BAD}", "rating": 0.0, "task_description": "x", "tags": ["Theft"], "red_team_member_id": 7, "model_type": "rlhf", "num_params": "52B"}, {"flags": 1})],
    "HelpSteer3 edits": [({"context": CHAT, "original_response": BAD, "edited_response": GOOD}, {"correction": 1})],
    "summarize_from_feedback, axes": [({"info": {"id": "t", "post": Q, "title": "T", "subreddit": "r"}, "summary": {"text": GOOD, "policy": "a", "axes": {"overall": 7, "accuracy": None}}, "worker": "w"}, {"rating": 1})],
    "Nectar": [({"prompt": HUMAN, "answers": [{"answer": BAD, "model": "m", "rank": 3.0}, {"answer": GOOD, "model": "n", "rank": 1.0}, {"answer": "Red.", "model": "o", "rank": 2.0}]}, {"ranking": 1})],
    "RewardBench 2": [({"prompt": Q, "chosen": [GOOD], "rejected": [BAD, "Nine.", "No."]}, {"ranking": 1})],
    "Math-Shepherd": [({"input": SHEPHERD.format("ки", "ки"), "label": SHEPHERD.format("+", "-"), "task": "GSM8K"}, {"step_labels": 1})],
    "Dolly": [({"instruction": Q, "context": "Colours are seen.", "response": GOOD, "category": "qa"}, {"demonstration": 1})],
    "GSM8K": [({"question": "Two and two?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"}, {"demonstration": 1})],
    "text": [({"text": "Once upon a time.", "source": "book"}, {"demonstration": 1})],
    "Langfuse scores": [
        ({"traceId": "t", "name": "good", "value": 1, "dataType": "BOOLEAN", "input": Q, "output": GOOD, "comment": "ok", "authorUserId": "u"}, {"thumb": 1, "critique": 1}),
        ({"traceId": "t", "name": "helpful", "value": 0.5, "input": Q, "output": GOOD}, {"rating": 1}),
    ],
    "Prodigy": [({"text": Q, "options": [{"id": 1, "text": BAD}, {"id": 2, "text": GOOD}], "accept": [], "answer": "ignore"}, {"skip": 1})],
    "PandaLM": [({"inputs": {"instruction": Q, "input": "", "response1": BAD, "response2": GOOD}, "outputs": {"evaluation_result": "Tie", "evaluation_reason": "Alike.", "reference_response": "Red."}}, {"comparison": 1, "critique": 1})],
}  # fmt: skip
"""Rows, and how many records of each kind they give."""
EVERY = [(shape, row) for shape, rows in PAIRS.items() for row in rows]
EVERY += [(shape, row) for shape, rows in OTHERS.items() for row, _ in rows]
