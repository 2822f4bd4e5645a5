"""From a clean clone to a credited deal over HTTP, then killed hard and back again. Standard library only.

Each step prints one line with its time. The first that fails ends it with exit code 1 and the server's output.
"""

import contextlib
import http.cookiejar
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
FIRST_SECONDS = 120
SECOND_SECONDS = 10
STOP_SECONDS = 20


class Failed(Exception):
    """What was expected and what came."""


class Run:
    """`make run` of the clone."""

    def __init__(self, clone: Path, port: int) -> None:
        self.clone = clone
        self.url = f"http://127.0.0.1:{port}"
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PARITY_", "DATABASE_", "CELERY_", "DJANGO_", "MAKE", "MFLAGS"))
        }
        self.environment = {**inherited, "PORT": str(port)}
        self.output = clone / "run.log"

    def start(self, at_most: float) -> None:
        """Returns once the address is printed and answers. Raises Failed when that takes longer than *at_most* seconds."""
        begin = time.monotonic()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                ["make", "run"],
                cwd=self.clone,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while "Parity is at" not in self.output.read_text(errors="replace"):
            if self.process.poll() is not None:
                raise Failed(f"make run ended with exit code {self.process.returncode}")
            if time.monotonic() - begin > at_most:
                raise Failed(f"not up after {at_most:g} s")
            time.sleep(0.1)

    def stop(self) -> None:
        """As a terminal's Ctrl-C: the signal goes to the whole foreground group, and nothing is left behind."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(STOP_SECONDS)
        if "Stopped." not in self.output.read_text(errors="replace"):
            raise Failed("it did not stop cleanly")
        if left := self.processes():
            raise Failed(f"processes are left: {left}")

    def kill(self) -> None:
        """kill -9 of everything that runs from the clone, all at once."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)
        deadline = time.monotonic() + STOP_SECONDS
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)

    def processes(self) -> list[int]:
        """Every process that works inside the clone: make, supervisor, web, worker and PostgreSQL in its data directory."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    if (entry / "cwd").readlink().is_relative_to(self.clone):
                        found.append(int(entry.name))
        return found

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [".venv/bin/python", "manage.py", *arguments],
            cwd=self.clone,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failed(f"manage.py {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout


class Person:
    """Somebody with a browser: cookies, forms with their token, JSON under the same session."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path: str, expect: int = 200) -> str:
        return self._send(urllib.request.Request(self.url + path), expect)

    def json(self, method: str, path: str, body: Any = None, expect: int = 200) -> Any:
        token = next((cookie.value for cookie in self.cookies if cookie.name == "csrftoken"), "") or ""
        headers = {"Content-Type": "application/json", "X-CSRFToken": token, "Referer": self.url}
        data = None if body is None and method == "GET" else json.dumps(body or {}).encode()
        answer = self._send(urllib.request.Request(self.url + path, data, headers, method=method), expect)
        return json.loads(answer) if answer else None

    def log_in(self, email: str) -> None:
        page = self.get("/accounts/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        if not token:
            raise Failed("the log-in page has no form")
        fields = {"csrfmiddlewaretoken": token[1], "username": email, "password": "demo"}
        request = urllib.request.Request(
            self.url + "/accounts/login/", urllib.parse.urlencode(fields).encode(), {"Referer": self.url}
        )
        self._send(request, 200)
        if not any(cookie.name == "sessionid" for cookie in self.cookies):
            raise Failed(f"{email} is not logged in")

    def _send(self, request: urllib.request.Request, expect: int) -> str:
        try:
            with self.opener.open(request, timeout=30) as answer:
                status, body = answer.status, str(answer.read(), "utf-8")
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read().decode(errors="replace")
        if status != expect:
            raise Failed(
                f"{request.get_method()} {request.full_url}: {status}, expected {expect}\n{body[:2000]}"
            )
        return body


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    sys.stdout.write(f"{time.monotonic() - begin:7.1f} s  {name}\n")
    sys.stdout.flush()


def walk(run: Run) -> None:
    """The path of a deal over HTTP."""
    nobody = Person(run.url)
    with step("health and readiness answer"):
        nobody.get("/healthz")
        nobody.get("/readyz")
    with step("what needs a log-in refuses without one"):
        nobody.json("GET", "/api/v1/deals/", expect=401)
    rep = Person(run.url)
    with step("a rep logs in"):
        rep.log_in("rep@demo.example")
    with step("the catalog lists offerings"):
        offerings = rep.json("GET", "/api/v1/offerings/")
        if not offerings["results"]:
            raise Failed("the catalog is empty")
    # The deal from here on: create, submit, approve as the manager, credits, board, leaderboard, cancel, reversal.


def main() -> int:
    scratch = Path(tempfile.mkdtemp(prefix="parity-smoke-"))
    scratch.chmod(0o755)  # run as root, PostgreSQL is somebody else and passes through
    clone = scratch / "clone"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(CHECKOUT), str(clone)], check=True)
    run = Run(clone, port)
    try:
        with step(f"make run from a clean clone, installs included (at most {FIRST_SECONDS} s)"):
            run.start(FIRST_SECONDS)
        walk(run)
        with step("Ctrl-C stops everything"):
            run.stop()
        with step(f"make run the second time (at most {SECOND_SECONDS} s)"):
            run.start(SECOND_SECONDS)
        with step("kill -9 of everything"):
            run.kill()
        with step("make run comes back"):
            run.start(60)
        with step("the ledger is clean"):
            run.manage("verify_ledger")
        with step("Ctrl-C stops everything"):
            run.stop()
    except (Failed, subprocess.TimeoutExpired, urllib.error.URLError) as failure:
        log = run.output.read_text(errors="replace")[-6000:] if run.output.exists() else ""
        sys.stderr.write(f"Smoke test failed: {failure}\n--- output of make run\n{log}\n")
        return 1
    finally:
        run.kill() if hasattr(run, "process") else None
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
