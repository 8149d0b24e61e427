"""Asks a server of language models with the `openai`, `anthropic` and `ollama` clients, directly and through weir: the answers must be the same.
What was sent and got is written down as the rows that the calls should become (expected.py).

usage: chat_client.py SERVER WEIR OUT
"""

import json
import sys
import time
import urllib.request

import anthropic
import ollama
import openai

from expected import Expected, text

SERVER, WEIR, OUT = sys.argv[1:4]
OPTIONS = {"api_key": "key-of-the-test", "max_retries": 0, "timeout": 60}
QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "The capital of Iceland? – naïve ✓"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}


class Place:
    """The clients at one address, the last request's body and the last answer's head."""

    def __init__(self, url):
        self.openai = openai.OpenAI(base_url=f"{url}/v1", **OPTIONS)
        self.anthropic = anthropic.Anthropic(base_url=url, **OPTIONS)
        self.ollama = ollama.Client(host=url, timeout=OPTIONS["timeout"])
        for client in (self.openai, self.anthropic, self.ollama):
            hooks = client._client.event_hooks
            client._client.event_hooks = {
                "request": [*hooks["request"], self.asked],
                "response": [*hooks["response"], self.answered],
            }

    def asked(self, request):
        self.sent = json.loads(request.content)

    def answered(self, response):
        self.id = response.headers.get("x-weir-id")


direct, through = Place(SERVER), Place(WEIR)
expected = Expected(OUT, partial=False)


def server(method, path):
    with urllib.request.urlopen(urllib.request.Request(SERVER + path, method=method), timeout=60) as answer:
        return json.load(answer)


def plain(item):
    return item.model_dump(mode="json", exclude_unset=True) if hasattr(item, "model_dump") else item


def both(call):
    """What the call gives, which is the same directly and through weir."""
    want, have = call(direct), call(through)
    assert want == have, f"directly {want!r}, through weir {have!r}"
    assert direct.id is None and through.id, "only weir names calls"
    assert direct.sent == through.sent
    return have


def inputs(sent):
    row = {key: text(value) for key, value in sent.items()}
    prompt = sent.get("messages") or sent.get("prompt") or sent.get("input")
    if isinstance(prompt, list):
        prompt = [message["content"] for message in prompt if message["role"] == "user"][-1]
    row["prompt_text"] = prompt
    return row


def expect(table, outputs, protocol="openai", asked=None, id=None, **more):
    asked = inputs(through.sent) if asked is None else asked
    streamed = bool(through.sent.get("stream"))
    expected.row(id or through.id, table, asked, outputs, **{"protocol": protocol, "streamed": streamed, **more})


def rest(answer, *without):
    return {key: value if key == "usage" else text(value) for key, value in answer.items() if key not in without}


def chat_row(answer):
    [choice] = answer["choices"]
    row = {key: text(value) for key, value in choice["message"].items() if key not in ("role", "annotations")}
    row["logprobs"] = text(choice["logprobs"])
    return {**row, "finish_reason": choice["finish_reason"], **rest(answer, "object", "choices")}


def chat_stream_row(chunks):
    """The pieces put together, as the reference says to."""
    row, content, calls, tokens = {}, "", {}, []
    for chunk in chunks:
        row.update({key: value for key, value in rest(chunk, "object", "choices").items() if value is not None})
        for choice in chunk["choices"]:
            content += choice["delta"].get("content") or ""
            row["finish_reason"] = choice["finish_reason"]
            tokens += (choice["logprobs"] or {}).get("content") or []
            for piece in choice["delta"].get("tool_calls") or []:
                call = calls.setdefault(piece["index"], {"id": piece.get("id"), "type": piece.get("type")})
                function = call.setdefault("function", {"name": piece["function"].get("name"), "arguments": ""})
                function["arguments"] += piece["function"]["arguments"]
    if tokens:
        row["logprobs"] = text({"content": tokens})
    if calls:
        return {**row, "tool_calls": text(list(calls.values()))}
    return {**row, "content": content}


def responses_row(answer):
    row = rest(answer, "object", "output", "status")
    texts = [part["text"] for item in answer["output"] if item["type"] == "message" for part in item["content"]]
    calls = [item for item in answer["output"] if item["type"] == "function_call"]
    row.update(finish_reason=answer["status"], content="".join(texts) if texts else None)
    row["tool_calls"] = text(calls) if calls else None
    return row


def message_row(message):
    blocks = {kind: [block for block in message["content"] if block["type"] == kind] for kind in ("text", "tool_use")}
    row = {"content": "".join(block["text"] for block in blocks["text"]), "finish_reason": message["stop_reason"]}
    row["tool_calls"] = text(blocks["tool_use"]) if blocks["tool_use"] else None
    return {**row, **{key: message[key] for key in ("id", "model", "usage", "stop_sequence")}}


def openai_calls():
    tools = [{"type": "function", "function": {"name": "forecast", "parameters": CITY}}]
    sampling = {"temperature": 0.2, "max_tokens": 50, "user": "u-1", "seed": 7}
    for more in ({}, {"tools": tools}, sampling, {"logprobs": True}):
        answer = both(lambda at: plain(at.openai.chat.completions.create(model="llm", messages=QUESTION, **more)))
        expect("llm", chat_row(answer))
        for usage in (False, True):
            options = {"stream": True, **({"stream_options": {"include_usage": True}} if usage else {}), **more}
            ask = lambda at: [
                plain(c) for c in at.openai.chat.completions.create(model="llm", messages=QUESTION, **options)
            ]
            expect("llm", chat_stream_row(both(ask)))

    ask = lambda at, **more: at.openai.completions.create(model="words", prompt="Once upon", max_tokens=7, **more)
    answer = both(lambda at: plain(ask(at)))
    [choice] = answer["choices"]
    row = {"content": choice["text"], "finish_reason": choice["finish_reason"]}
    expect("words", {**row, **rest(answer, "object", "choices")})
    chunks = both(lambda at: [plain(chunk) for chunk in ask(at, stream=True)])
    content = "".join(chunk["choices"][0]["text"] for chunk in chunks)
    expect("words", {**row, "content": content, **rest(chunks[0], "object", "choices")})

    texts = ["a", "bcd", "– naïve ✓"]
    as_digits = {"encoding_format": "float"}
    for model, asked, more in (
        ("vectors", texts, {}),
        ("vectors", "lone", {"dimensions": 4}),
        ("digits", texts, as_digits),
    ):
        answer = both(lambda at: plain(at.openai.embeddings.create(model=model, input=asked, **more)))
        list_of = asked if isinstance(asked, list) else [asked]
        for n, (one, item) in enumerate(zip(list_of, answer["data"], strict=True)):
            sent = {**through.sent, "input": one}
            floats = {"embedding": {"$f32": item["embedding"]}, "model": answer["model"], "usage": answer["usage"]}
            expect(model, floats, asked=sent, id=f"{through.id}_{n}" if len(list_of) > 1 else through.id)

    tools = [{"type": "function", "name": "forecast", "parameters": CITY, "strict": False}]
    for more in ({"input": "hi"}, {"input": QUESTION[1:], "instructions": "Be brief."}, {"input": "hi", "tools": tools}):
        answer = both(lambda at: plain(at.openai.responses.create(model="responses", **more)))
        expect("responses", responses_row(answer))
        events = both(lambda at: [plain(e) for e in at.openai.responses.create(model="responses", stream=True, **more)])
        assert events[-1]["type"] == "response.completed"
        expect("responses", responses_row(events[-1]["response"]))


def anthropic_calls():
    tools = [{"name": "forecast", "description": "The weather to come.", "input_schema": CITY}]
    for more in ({}, {"tools": tools, "stop_sequences": ["END"]}, {"system": "Be brief.", "metadata": {"user_id": "u-1"}}):
        options = {"model": "messages", "max_tokens": 64, "messages": QUESTION[1:], **more}
        answer = both(lambda at: plain(at.anthropic.messages.create(**options)))
        expect("messages", message_row(answer), protocol="anthropic")

        def streamed(at):
            with at.anthropic.messages.stream(**options) as stream:
                events = [plain(event) for event in stream]
                return events, plain(stream.get_final_message())

        _, message = both(streamed)
        usage = {key: value for key, value in message["usage"].items() if value is not None}
        expect("messages", message_row({**message, "usage": usage}), protocol="anthropic")


def ollama_row(pieces):
    """Texts joined, of every other field the last."""
    row, texts, calls, tokens = {}, {"content": "", "thinking": ""}, [], []
    for piece in pieces:
        message = piece.get("message", {})
        texts["content"] += message.get("content") or piece.get("response") or ""
        texts["thinking"] += message.get("thinking") or piece.get("thinking") or ""
        calls += message.get("tool_calls") or []
        tokens += piece.get("logprobs") or []
        row.update(rest(piece, "message", "response", "thinking", "logprobs", "done", "done_reason"))
    row.update(content=texts["content"], thinking=texts["thinking"] or None, finish_reason=pieces[-1]["done_reason"])
    return {**row, "tool_calls": text(calls) if calls else None, "logprobs": text(tokens) if tokens else None}


def ollama_calls():
    tools = [{"type": "function", "function": {"name": "forecast", "parameters": CITY}}]
    for more in ({}, {"tools": tools}, {"think": True, "options": {"temperature": 0.2}}, {"logprobs": True}):
        ask = lambda at, **how: at.ollama.chat(model="llama", messages=QUESTION, **more, **how)
        expect("llama", ollama_row([both(lambda at: plain(ask(at)))]), protocol="ollama")
        expect("llama", ollama_row(both(lambda at: [plain(piece) for piece in ask(at, stream=True)])), protocol="ollama")
    for more in ({}, {"think": True, "logprobs": True}):
        ask = lambda at, **how: at.ollama.generate(model="llama", prompt="Why – ✓?", **more, **how)
        expect("llama", ollama_row([both(lambda at: plain(ask(at)))]), protocol="ollama")
        expect("llama", ollama_row(both(lambda at: [plain(piece) for piece in ask(at, stream=True)])), protocol="ollama")
    texts = ["a", "bcd", "– naïve ✓"]
    answer = both(lambda at: plain(at.ollama.embed(model="embedder", input=texts)))
    beside = rest(answer, "embeddings")
    for n, (one, vector) in enumerate(zip(texts, answer["embeddings"], strict=True)):
        sent = {key: text(value) for key, value in {**through.sent, "input": one}.items()}
        row = {"embedding": vector, **beside}
        expect("embedder", row, protocol="ollama", asked=sent, id=f"{through.id}_{n}")


def refused():
    def not_found(ask, error):
        try:
            return ask()
        except error as refusal:
            return [refusal.status_code, refusal.body]

    with_openai = lambda at: at.openai.chat.completions.create(model="unknown", messages=QUESTION)
    with_anthropic = lambda at: at.anthropic.messages.create(model="unknown", max_tokens=1, messages=QUESTION[1:])
    for protocol, ask, error in (
        ("openai", with_openai, openai.NotFoundError),
        ("anthropic", with_anthropic, anthropic.NotFoundError),
    ):
        status, _ = both(lambda at: not_found(lambda: ask(at), error))
        # No table of its own, only good answers start one: the route's, whose columns the calls above have made.
        expect("llm", {}, protocol=protocol, parse_status="ok", status_code=status)


def scripted(script, **more):
    """A streaming call of the server's script."""
    return {"model": "llm", "messages": QUESTION[1:], "stream": True, "extra_headers": {"x-script": script}, **more}


def first_event_is_not_delayed():
    """The server holds the second event back until it is told: a client that has the first one did not get it with the second."""

    def ask(create, **more):
        with create(**scripted("held", **more)) as stream:
            first = plain(next(stream))
            server("POST", "/release")
            return [first, *[plain(event) for event in stream]]

    expect("llm", chat_stream_row(both(lambda at: ask(at.openai.chat.completions.create))))
    events = both(lambda at: ask(at.anthropic.messages.create, model="messages", max_tokens=9))
    usage = {**events[0]["message"]["usage"], **events[-2]["usage"]}
    whole = {**events[0]["message"], **events[-2]["delta"], "usage": usage}
    whole["content"] = [{"type": "text", "text": "".join(e["delta"].get("text", "") for e in events[2:-3])}]
    expect("messages", message_row(whole), protocol="anthropic")


def clients_that_leave():
    """They take the first event of many and go: the server learns of it, and the record is of what came."""
    left = {"outcome": "client_aborted", "partial": True, "parse_status": "truncated"}

    def leave(create, **more):
        gone = server("GET", "/left")["left"]
        stream = create(**scripted("endless", **more))
        first = plain(next(stream))
        stream.close()
        # A server that knows stops a generation that nobody reads.
        for _ in range(3000):
            if server("GET", "/left")["left"] > gone:
                return first
            time.sleep(0.02)
        raise AssertionError("the server never learned that the client left")

    expect("llm", chat_stream_row([leave(through.openai.chat.completions.create)]), **left)
    begun = leave(through.anthropic.messages.create, model="messages", max_tokens=9)["message"]
    row = {key: begun[key] for key in ("id", "model", "usage")}
    expect("messages", row, protocol="anthropic", **left)


def a_client_that_leaves_after_the_end_mark():
    """As `openai` does: it closes the connection when it has read `[DONE]`, whatever may still come. Nothing is missing then."""
    ask = lambda at: [plain(chunk) for chunk in at.openai.chat.completions.create(**scripted("lingering"))]
    expect("llm", chat_stream_row(both(ask)))


openai_calls()
anthropic_calls()
ollama_calls()
refused()
first_event_is_not_delayed()
clients_that_leave()
a_client_that_leaves_after_the_end_mark()
expected.close()
