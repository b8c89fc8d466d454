"""What the chatbot's page answers, and to whom: nothing to other pages, and no file of the machine to anybody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dpr_rag import PassageStore

pytestmark = pytest.mark.timeout(200)
SCRIPT = """
import json, sys, urllib.error, urllib.request
address, secret = sys.argv[1:]

def asked(path, data=None, **headers):
    body = None if data is None else json.dumps(data).encode()
    more = {"Content-Type": "application/json"} if body else {}
    request = urllib.request.Request(address + path, body, {**more, **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode("utf-8", "replace")

found = {"own": asked("/")[0], "headers": asked("/")[1], "own origin": asked("/", Origin=address)[0]}
for name, headers in {
    "host": {"Host": "evil.example"}, "origin": {"Origin": "http://evil.example"}, "null": {"Origin": "null"},
    "other port": {"Origin": "http://127.0.0.1:1"},
}.items():
    found[name] = asked("/gradio_api/upload", {}, **headers)[0]
for name in ("add_uploads", "add_folder"):
    data = [[{"path": secret, "meta": {"_type": "gradio.FileData"}}]] if name == "add_uploads" else [secret]
    status, _, text = asked(f"/gradio_api/call/{name}", {"data": data})
    event = json.loads(text).get("event_id", "") if status == 200 else ""
    found[name] = asked(f"/gradio_api/call/{name}/{event}")[2] if event else text
found["file"] = asked("/gradio_api/file=" + secret)[0]
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    ("host", "ending"),
    [("127.0.0.1", signal.SIGINT), ("0.0.0.0", signal.SIGTERM)],  # noqa: S104
)
def test_other_pages_and_files_of_the_machine_stay_out(host: str, ending: signal.Signals, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the password is swordfish")
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-c", "from dpr_rag.cli import main; main()"]
    with open(tmp_path / "errors", "wb") as errors:
        process = subprocess.Popen(
            [*command, "chat", "s.dpr", "--port", "0", "--host", host],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[0].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT, address, str(secret)], capture_output=True, text=True, check=True
            )
            (private,) = (tmp_path / "tmp").glob("dpr-rag-*")
            assert private.stat().st_mode & 0o777 == 0o700
        finally:
            process.send_signal(ending)
            process.wait(30)
            process.stdout.close()  # type: ignore[union-attr]
    assert process.returncode == 0
    found = json.loads(done.stdout)
    assert (found["own"], found["own origin"]) == (200, 200)
    assert [found[name] for name in ("host", "origin", "null", "other port")] == [403] * 4
    assert "frame-ancestors 'none'" in found["headers"]["content-security-policy"]
    assert found["file"] == 403
    assert "event: error" in found["add_uploads"] or "Cannot move" in found["add_uploads"]
    with PassageStore.open(tmp_path / "s.dpr", read_only=True) as store:
        texts = [one.text for one in store]
    assert texts == (
        ["the password is swordfish"] if host == "127.0.0.1" else []
    )  # by its folder, on this machine alone
    assert list((tmp_path / "tmp").glob("dpr-rag-*")) == []
