"""A scripted server of language models: OpenAI's chat, completions, embeddings and responses, Anthropic's messages, Ollama's API, plain and
streaming.

Written from the public references: OpenAI API reference ("Chat", "Completions", "Embeddings", "Responses", streaming events of each),
Anthropic API ("Messages", "Streaming messages"). The model `unknown` is refused, as the
references document errors. The header `x-script` of a streaming call says what else is to happen:

    held        the second event is held back until `POST /release`
    endless     the second event never comes; that the client left is counted (`GET /left`)
    lingering   after the end mark the answer stays open until the client leaves

usage: chat_server.py PORT
"""

import base64
import json
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import chat_ollama

# Longer than any healthy run: a handler that waits in vain breaks its connection off, so that the client fails.
PATIENCE = 80

TEXT = ["The", " capital", " is", " Reykjavík", " – naïve", ' "quoted"', " ✓"]
ARGUMENTS = ['{"ci', 'ty": "Par', 'is", "days"', ": 3}"]
CHAT_USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
}
RESPONSES_USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
    "output_tokens": 8,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 20,
}

released = threading.Semaphore(0)
left = 0


def token(piece):
    return {"token": piece, "bytes": list(piece.encode()), "logprob": -0.25, "top_logprobs": []}


def chat(asked):
    choice = {"index": 0, "logprobs": None, "finish_reason": "stop"}
    choice["message"] = {"role": "assistant", "content": "".join(TEXT), "refusal": None, "annotations": []}
    if asked.get("tools"):
        call = {"name": "forecast", "arguments": "".join(ARGUMENTS)}
        calls = [{"id": f"call_{n}", "type": "function", "function": call} for n in range(2)]
        choice["message"].update(content=None, tool_calls=calls)
        choice["finish_reason"] = "tool_calls"
    elif asked.get("logprobs"):
        choice["logprobs"] = {"content": [token(piece) for piece in TEXT], "refusal": None}
    return {
        "id": "chatcmpl-123",
        "object": "chat.completion",
        "created": 1764000000,
        "model": asked["model"] + "-2026-11-25",
        "choices": [choice],
        "usage": CHAT_USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
    }


def chat_events(asked):
    whole = chat(asked)
    common = {key: whole[key] for key in ("id", "created", "model", "service_tier", "system_fingerprint")}
    common["object"] = "chat.completion.chunk"
    usage = {"usage": None} if (asked.get("stream_options") or {}).get("include_usage") else {}

    def chunk(delta, reason=None, logprobs=None):
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return None, {**common, "choices": [choice], **usage}

    if asked.get("tools"):
        yield chunk({"role": "assistant", "content": None, "refusal": None})
        for n in range(2):
            call = {"index": n, "id": f"call_{n}", "type": "function"}
            yield chunk({"tool_calls": [{**call, "function": {"name": "forecast", "arguments": ""}}]})
            for piece in ARGUMENTS:
                yield chunk({"tool_calls": [{"index": n, "function": {"arguments": piece}}]})
    else:
        yield chunk({"role": "assistant", "content": "", "refusal": None})
        for piece in TEXT:
            yield chunk({"content": piece}, logprobs=asked.get("logprobs") and {"content": [token(piece)], "refusal": None})
    yield chunk({}, whole["choices"][0]["finish_reason"])
    if usage:
        yield None, {**common, "choices": [], "usage": CHAT_USAGE}
    yield None, "[DONE]"


def completions(asked):
    choice = {"index": 0, "text": "".join(TEXT), "logprobs": None, "finish_reason": "length"}
    common = {"id": "cmpl-1", "object": "text_completion", "created": 1764000000, "model": asked["model"]}
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    return {**common, "choices": [choice], "usage": usage}


def completions_events(asked):
    whole = completions(asked)
    del whole["usage"]
    for number, piece in enumerate(TEXT, 1):
        reason = "length" if number == len(TEXT) else None
        yield None, {**whole, "choices": [{**whole["choices"][0], "text": piece, "finish_reason": reason}]}
    yield None, "[DONE]"


def embeddings(asked):
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    data = []
    for index, text in enumerate(texts):
        vector = [len(text) / 7, -0.1, index + 1e-7, 3.4e38]
        if asked.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    return {"object": "list", "data": data, "model": asked["model"], "usage": usage}


def responses(asked):
    text = {"type": "output_text", "text": "".join(TEXT), "annotations": [], "logprobs": []}
    message = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [text]}
    output = [{"id": "rs_1", "type": "reasoning", "summary": []}, message]
    if asked.get("tools"):
        call = {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1"}
        output = [{**call, "name": "forecast", "arguments": "".join(ARGUMENTS)}]
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1764000000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": None,
        "model": asked["model"] + "-2026-11-25",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": asked.get("tools") or [],
        "top_p": 1.0,
        "usage": RESPONSES_USAGE,
        "metadata": {},
    }


def responses_events(asked):
    whole = responses(asked)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events = [("response.created", {"response": begun}), ("response.in_progress", {"response": begun})]
    for index, item in enumerate(whole["output"]):
        here = {"output_index": index, "item_id": item["id"]}
        open_item = {**item, "status": "in_progress"}
        if item["type"] == "message":
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            here["content_index"] = 0
            events += [
                ("response.output_item.added", {"output_index": index, "item": {**open_item, "content": []}}),
                ("response.content_part.added", {**here, "part": part}),
            ]
            events += [("response.output_text.delta", {**here, "delta": piece, "logprobs": []}) for piece in TEXT]
            events += [
                ("response.output_text.done", {**here, "text": "".join(TEXT), "logprobs": []}),
                ("response.content_part.done", {**here, "part": item["content"][0]}),
            ]
        elif item["type"] == "function_call":
            events.append(("response.output_item.added", {"output_index": index, "item": {**open_item, "arguments": ""}}))
            for piece in ARGUMENTS:
                events.append(("response.function_call_arguments.delta", {**here, "delta": piece}))
            done = {**here, "name": item["name"], "arguments": item["arguments"]}
            events.append(("response.function_call_arguments.done", done))
        else:
            events.append(("response.output_item.added", {"output_index": index, "item": item}))
        events.append(("response.output_item.done", {"output_index": index, "item": item}))
    events.append(("response.completed", {"response": whole}))
    for number, (name, event) in enumerate(events):
        yield name, {"type": name, "sequence_number": number, **event}


def messages(asked):
    blocks = [{"type": "text", "text": "".join(TEXT), "citations": None}]
    if asked.get("tools"):
        blocks.append({"type": "tool_use", "id": "toolu_1", "name": "forecast", "input": json.loads("".join(ARGUMENTS))})
    return {
        "id": "msg_013Zva",
        "type": "message",
        "role": "assistant",
        "model": asked["model"] + "-20261125",
        "content": blocks,
        "stop_reason": "tool_use" if asked.get("tools") else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 25,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 5,
            "output_tokens": 15,
            "service_tier": "standard",
        },
    }


def messages_events(asked):
    whole = messages(asked)
    usage = {**whole["usage"], "output_tokens": 1}
    begun = {**whole, "content": [], "stop_reason": None, "usage": usage}
    yield "message_start", {"message": begun}
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            opened, deltas = {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in TEXT]
        else:
            opened = {**block, "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *ARGUMENTS]]
        yield "content_block_start", {"index": index, "content_block": opened}
        if index == 0:
            yield "ping", {}
        for delta in deltas:
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"delta": delta, "usage": {"output_tokens": 15}}
    yield "message_stop", {}


def typed(events):
    for name, event in events:
        yield name, {"type": name, **event}


PLACES = {
    "/v1/chat/completions": (chat, chat_events),
    "/v1/completions": (completions, completions_events),
    "/v1/embeddings": (embeddings, None),
    "/v1/responses": (responses, responses_events),
    "/v1/messages": (messages, lambda asked: typed(messages_events(asked))),
    "/api/chat": (chat_ollama.chat, chat_ollama.chat_pieces),
    "/api/generate": (chat_ollama.generate, chat_ollama.generate_pieces),
    "/api/embed": (chat_ollama.embed, None),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def log_message(self, *_):
        pass

    def answer(self, status, value):
        body = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, {"left": left})

    def do_POST(self):
        asked = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/release":
            released.release()
            return self.answer(200, {})
        asked = json.loads(asked)
        whole, events = PLACES[self.path]
        if asked["model"] == "unknown":
            error = {"type": "not_found_error", "message": "The model `unknown` does not exist"}
            outer = {"type": "error"} if self.path.endswith("messages") else {}
            return self.answer(404, {**outer, "error": error})
        # Ollama's own default is to stream.
        if events and asked.get("stream", self.path.startswith("/api/")):
            return self.stream(self.headers.get("x-script"), events(asked))
        return self.answer(200, whole(asked))

    def stream(self, script, events):
        self.send_response(200)
        lines = self.path.startswith("/api/")
        self.send_header("content-type", "application/x-ndjson" if lines else "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, (name, event) in enumerate(events):
            if number == 1 and script == "held" and not released.acquire(timeout=PATIENCE):
                return self.break_off()
            if number == 1 and script == "endless":
                return self.until_left()
            text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
            head = f"event: {name}\n" if name else ""
            body = (f"{text}\n" if lines else f"{head}data: {text}\n\n").encode()
            # Two chunks of an event: nothing may lean on chunks being events.
            for part in (body[: len(body) // 2], body[len(body) // 2 :]):
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        if script == "lingering":
            return self.until_left()
        self.wfile.write(b"0\r\n\r\n")

    def until_left(self):
        global left
        try:
            here = self.connection.recv(1)
        except TimeoutError:
            return self.break_off()
        except ConnectionError:
            here = b""
        assert not here, "another request on a connection whose answer is not over"
        left += 1
        return self.break_off()

    def break_off(self):
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
