#!/usr/bin/env python3
"""A model that says one constant thing, so that an agent host can be run offline.

Answers POST /v1/messages (Anthropic) and POST /v1/chat/completions (OpenAI), whole and as a stream
of server-sent events. Everything else gets an empty JSON object: hosts ask for more than they need,
and go on without it. Nothing that is sent here is looked at further than `stream` and `model`.

    python3 model_server.py [--port N]        # prints the base URL, serves until it is ended
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REPLY = "Done."


class Model(BaseHTTPRequestHandler):
    # Hosts keep connections open; 1.1 needs an exact Content-Length, or a close as in `stream`.
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            request = json.loads(body)
        except ValueError:
            request = {}
        if not isinstance(request, dict):
            request = {}
        model = request.get("model", "canned")
        # Without the query, which Claude Code adds (`?beta=true`).
        path = self.path.partition("?")[0]
        if path == "/v1/messages":
            if request.get("stream"):
                self.stream((event["type"], event) for event in anthropic_events(model))
            else:
                self.whole(anthropic_message(model))
        elif path == "/v1/chat/completions":
            if request.get("stream"):
                self.stream((None, chunk) for chunk in openai_chunks(model))
            else:
                self.whole(openai_completion(model))
        else:
            self.whole({})

    def do_GET(self):
        self.whole({})

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def whole(self, reply):
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, events):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for name, event in events:
            head = f"event: {name}\n" if name else ""
            data = event if isinstance(event, str) else json.dumps(event)
            self.wfile.write(f"{head}data: {data}\n\n".encode())

    def log_message(self, *_):
        """Silent: the requests hold what the person typed."""


def anthropic_message(model):
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": REPLY}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 2},
    }


def anthropic_events(model):
    start = anthropic_message(model) | {"content": [], "stop_reason": None}
    yield {"type": "message_start", "message": start}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": REPLY}}
    yield {"type": "content_block_stop", "index": 0}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    }
    yield {"type": "message_stop"}


OPENAI_USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}


def openai_completion(model):
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": REPLY}, "finish_reason": "stop"}
        ],
        "usage": OPENAI_USAGE,
    }


def openai_chunks(model):
    def chunk(delta, finish=None, **more):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": model}
        return head | {"choices": [choice]} | more

    yield chunk({"role": "assistant", "content": REPLY})
    yield chunk({}, "stop", usage=OPENAI_USAGE)
    yield "[DONE]"


def serve(port=0):
    """The server, bound on loopback; the caller runs `serve_forever`."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Model)
    server.daemon_threads = True
    return server


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    server = serve(arguments.parse_args().port)
    print("http://127.0.0.1:%d" % server.server_address[1], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
