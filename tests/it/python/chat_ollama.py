"""The part of chat_server.py that speaks Ollama's API (ollama/ollama, `docs/api.md`): a line of JSON for each piece."""

THOUGHTS = ["Hm, ", "a capital", "."]
TEXT = ["Reyk", "javík", " – ✓"]
CALL = {"function": {"name": "forecast", "arguments": {"city": "Paris", "days": 3}}}
COUNTS = {
    "total_duration": 5043500667,
    "load_duration": 5025959,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 325953000,
    "eval_count": 290,
    "eval_duration": 4709213000,
}


def pieces(asked, place):
    """`place` makes the fields of a piece out of a text and a thought."""
    common = {"model": asked["model"], "created_at": "2026-11-25T14:00:00.5Z"}
    for thought in THOUGHTS if asked.get("think") else []:
        yield {**common, **place("", thought), "done": False}
    for text in TEXT:
        tokens = {"logprobs": [{"token": text, "logprob": -0.25}]} if asked.get("logprobs") else {}
        yield {**common, **place(text), **tokens, "done": False}
    if asked.get("tools"):
        message = {"role": "assistant", "content": "", "tool_calls": [CALL]}
        yield {**common, "message": message, "done": False}
    yield {**common, **place(""), "done": True, "done_reason": "stop", **COUNTS}


def in_chat(text, thought=None):
    return {"message": {"role": "assistant", "content": text, **({"thinking": thought} if thought else {})}}


def in_generate(text, thought=None):
    return {"response": text, **({"thinking": thought} if thought else {})}


def chat_pieces(asked):
    return ((None, piece) for piece in pieces(asked, in_chat))


def generate_pieces(asked):
    return ((None, piece) for piece in pieces(asked, in_generate))


def whole(asked, place):
    """All pieces as one."""
    calls, tokens = {}, []
    for piece in pieces(asked, place):
        calls = {"tool_calls": piece["message"]["tool_calls"]} if "tool_calls" in piece.get("message", {}) else calls
        tokens += piece.get("logprobs", [])
    answer = {**piece, **place("".join(TEXT), "".join(THOUGHTS) if asked.get("think") else None)}
    if calls:
        answer["message"].update(calls)
    return {**answer, **({"logprobs": tokens} if tokens else {})}


def chat(asked):
    return whole(asked, in_chat)


def generate(asked):
    return whole(asked, in_generate)


def embed(asked):
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    vectors = [[0.1, -len(text) / 7] for text in texts]
    return {"model": asked["model"], "embeddings": vectors, "total_duration": 14143917, "prompt_eval_count": 8}
