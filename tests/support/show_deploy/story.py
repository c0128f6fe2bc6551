"""A person at the simulated GitHub: opens an issue, labels it, approves the plan, and waits for the pull request.

    story.py API TOKEN < ISSUE.md     the first line is the title
"""

import json
import sys
import time
import urllib.request

REPOSITORY = "acme/evenly"
PATIENCE_SECONDS = 240
api, token = sys.argv[1:]
began = time.monotonic()


def call(method, path, body=None):
    request = urllib.request.Request(
        f"{api}/repos/{REPOSITORY}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {token}",
            "User-Agent": "ada",
            "Content-Type": "application/json",
            "Accept": "application/vnd.github+json",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def say(what):
    print(f"  {time.monotonic() - began:6.1f} s  {what}", flush=True)


def wait(what, look):
    while not (found := look()):
        comments = call("GET", f"/issues/{issue}/comments")
        stopped = [one["body"] for one in comments if "/orchestrate retry" in one["body"]]
        if stopped and "👍" not in stopped[-1]:
            sys.exit(f"the task stopped before this was seen: {what}\n{stopped[-1]}")
        if time.monotonic() - began > PATIENCE_SECONDS:
            sys.exit(f"not seen within {PATIENCE_SECONDS} s: {what}\n" + "\n".join(one["body"] for one in comments))
        time.sleep(0.3)
    return found


def plan_comment():
    return next((one for one in call("GET", f"/issues/{issue}/comments") if "👍" in one["body"]), None)


def check_run(sha):
    runs = call("GET", f"/commits/{sha}/check-runs")["check_runs"]
    return next((run for run in runs if run["status"] == "completed"), None)


title, _, body = sys.stdin.read().partition("\n")
issue = call("POST", "/issues", {"title": title.lstrip("# "), "body": body.strip()})["number"]
call("POST", f"/issues/{issue}/labels", {"labels": ["auto"]})
say(f"issue #{issue} is labelled `auto`")
plan = wait("the plan", plan_comment)
say("the plan is there")
call("POST", f"/issues/comments/{plan['id']}/reactions", {"content": "+1"})
say("approved with 👍")
pull = wait("the pull request", lambda: next(iter(call("GET", "/pulls")), None))
say(f"pull request #{pull['number']} from {pull['head']['ref']}: {pull['title']}")
run = wait("the check run", lambda: check_run(pull["head"]["sha"]))
say(f"check run {run['name']}: {run['conclusion']}")
for line in pull["body"].splitlines():
    if "`cargo" in line or "cargo " in line:
        print(f"            {line.strip()}")
if run["conclusion"] != "success":
    sys.exit("the check run did not end in success")
