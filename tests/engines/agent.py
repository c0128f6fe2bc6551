"""A small agent: talks to a model over HTTP, uses two tools, and says at the end what it did.

It knows nothing of the product. Where it finds the model is in its environment, as with the known agents.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request


def post(url, body, headers):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json", **headers})
    for attempt in range(4):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            print("the model refused:", error.code, text, file=sys.stderr, flush=True)
            if error.code not in (429, 503, 529):
                sys.exit(3)
            time.sleep(float(error.headers.get("retry-after", "0.1")))
    sys.exit(4)


TOOLS = [
    ("write_file", "Writes a file.", {"path": {"type": "string"}, "content": {"type": "string"}}),
    ("run", "Runs a line of shell.", {"line": {"type": "string"}}),
]


def schema(properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def use(name, arguments):
    if name == "write_file":
        with open(arguments["path"], "w") as file:
            file.write(arguments["content"])
        return "written"
    done = subprocess.run(arguments["line"], shell=True, capture_output=True, text=True, timeout=60)
    return f"exit code {done.returncode}\n{done.stdout}{done.stderr}"


def anthropic(prompt, model):
    url = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
    headers = {"x-api-key": os.environ["ANTHROPIC_API_KEY"], "anthropic-version": "2023-06-01"}
    tools = [{"name": n, "description": d, "input_schema": schema(p)} for n, d, p in TOOLS]
    messages = [{"role": "user", "content": prompt}]
    while True:
        body = {"model": model, "max_tokens": 800, "system": "You are an agent.", "tools": tools, "messages": messages}
        answer = post(url, body, headers)
        messages.append({"role": "assistant", "content": answer["content"]})
        calls = [part for part in answer["content"] if part["type"] == "tool_use"]
        if not calls:
            return "".join(part["text"] for part in answer["content"] if part["type"] == "text")
        results = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": use(call["name"], call["input"])}
            for call in calls
        ]
        messages.append({"role": "user", "content": results})


def openai(prompt, model):
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    headers = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    tools = [
        {"type": "function", "function": {"name": n, "description": d, "parameters": schema(p)}} for n, d, p in TOOLS
    ]
    messages = [{"role": "system", "content": "You are an agent."}, {"role": "user", "content": prompt}]
    while True:
        answer = post(url, {"model": model, "tools": tools, "messages": messages}, headers)["choices"][0]["message"]
        messages.append(answer)
        if not answer.get("tool_calls"):
            return answer["content"]
        for call in answer["tool_calls"]:
            said = use(call["function"]["name"], json.loads(call["function"]["arguments"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": said})


def responses(prompt, model):
    url = os.environ["OPENAI_BASE_URL"] + "/responses"
    headers = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    tools = [{"type": "function", "name": n, "description": d, "parameters": schema(p)} for n, d, p in TOOLS]
    turns = [{"role": "user", "content": [{"type": "input_text", "text": prompt}]}]
    while True:
        body = {"model": model, "instructions": "You are an agent.", "store": False, "tools": tools, "input": turns}
        output = post(url, body, headers)["output"]
        turns += output
        calls = [item for item in output if item["type"] == "function_call"]
        if not calls:
            parts = [part for item in output if item["type"] == "message" for part in item["content"]]
            return "".join(part["text"] for part in parts)
        for call in calls:
            said = use(call["name"], json.loads(call["arguments"]))
            turns.append({"type": "function_call_output", "call_id": call["call_id"], "output": said})


def gemini(prompt, model):
    url = os.environ["GEMINI_BASE_URL"] + f"/v1beta/models/{model}:generateContent"
    tools = [{"functionDeclarations": [{"name": n, "description": d, "parameters": {**schema(p)}} for n, d, p in TOOLS]}]
    for declared in tools[0]["functionDeclarations"]:
        del declared["parameters"]["additionalProperties"]
    contents = [{"role": "user", "parts": [{"text": prompt}]}]
    while True:
        system = {"parts": [{"text": "You are an agent."}]}
        body = {"systemInstruction": system, "tools": tools, "contents": contents}
        turn = post(url, body, {"x-goog-api-key": "none"})["candidates"][0]["content"]
        contents.append(turn)
        calls = [part["functionCall"] for part in turn["parts"] if "functionCall" in part]
        if not calls:
            return "".join(part.get("text", "") for part in turn["parts"])
        results = [
            {
                "functionResponse": {
                    **({"id": call["id"]} if "id" in call else {}),
                    "name": call["name"],
                    "response": {"result": use(call["name"], call["args"])},
                }
            }
            for call in calls
        ]
        contents.append({"role": "user", "parts": results})


def attempt(what, do):
    try:
        print(what, "->", do(), flush=True)
    except Exception as error:
        print(what, "-> failed:", type(error).__name__, getattr(error, "code", ""), flush=True)


def prowl(proxy, host_port):
    """Everything that an agent might try besides calling its model."""
    get = lambda url: urllib.request.urlopen(url, timeout=5).read()[:80]
    attempt("models", lambda: get(proxy + "/v1/models"))
    attempt("files", lambda: get(proxy + "/v1/files"))
    attempt("absolute", lambda: raw(f"GET http://127.0.0.1:{host_port}/ HTTP/1.1\r\nHost: x\r\n\r\n"))
    attempt("connect", lambda: raw(f"CONNECT 127.0.0.1:{host_port} HTTP/1.1\r\nHost: x\r\n\r\n"))
    attempt("host header", lambda: raw("POST /v1/batches HTTP/1.1\r\nHost: evil.example\r\ncontent-length: 0\r\n\r\n"))
    attempt("direct", lambda: socket.create_connection(("127.0.0.1", int(host_port)), 5))
    attempt("metadata", lambda: socket.create_connection(("169.254.169.254", 80), 5))
    attempt("outside", lambda: socket.create_connection(("1.1.1.1", 443), 5))
    attempt("names", lambda: socket.getaddrinfo("example.org", 443))


def raw(request):
    with socket.create_connection(("127.0.0.1", 3128), 5) as connection:
        connection.sendall(request.encode())
        return connection.recv(4096).decode().splitlines()[0]


def main():
    mode, model = sys.argv[1], sys.argv[2]
    prompt = sys.argv[3] if len(sys.argv) > 3 else sys.stdin.read()
    if mode == "anthropic":
        print(anthropic(prompt, model))
    elif mode == "openai":
        print(openai(prompt, model))
    elif mode == "responses":
        print(responses(prompt, model))
    elif mode == "gemini":
        print(gemini(prompt, model))
    elif mode == "prowl":
        prowl(os.environ["PROXY"], os.environ["HOST_PORT"])
    elif mode == "secrets":
        print(dict(os.environ))
        for folder in os.listdir("/proc"):
            if folder.isdigit():
                for name in ("environ", "cmdline"):
                    attempt(folder + name, lambda: open(f"/proc/{folder}/{name}", "rb").read())
        print(anthropic(prompt, model))
    elif mode == "fail":
        # It says on both streams what it has, a secret that somebody let it see among it.
        print("I cannot work with simulated-webhook-secret.", flush=True)
        print("fatal: no configuration", file=sys.stderr, flush=True)
        sys.exit(7)
    elif mode == "hang":
        print("begun", flush=True)
        time.sleep(600)


main()
