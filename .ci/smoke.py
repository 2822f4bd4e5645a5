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
# The goals are 120 s and 10 s, and each step prints its time. A shared machine may be slow for a while: what fails is a hang.
FIRST_SECONDS = 360
SECOND_SECONDS = 60
STOP_SECONDS = 60


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
    """Somebody with a browser: cookies, forms with their token, JSON under the same session. With a key it is a program."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url
        self.key = key
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        self.tag = ""

    def get(self, path: str, expect: int = 200) -> str:
        return self._send(urllib.request.Request(self.url + path), expect)

    def json(
        self,
        method: str,
        path: str,
        body: Any = None,
        expect: int = 200,
        headers: dict[str, str] | None = None,
    ) -> Any:
        token = next((cookie.value for cookie in self.cookies if cookie.name == "csrftoken"), "") or ""
        sent = {
            "Content-Type": "application/json",
            "X-CSRFToken": token,
            "Referer": self.url,
            **(headers or {}),
        }
        if self.key:
            sent["Authorization"] = f"Bearer {self.key}"
        data = None if body is None and method == "GET" else json.dumps(body or {}).encode()
        answer = self._send(urllib.request.Request(self.url + path, data, sent, method=method), expect)
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
                self.tag = answer.headers.get("ETag") or ""
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
    rep, manager = Person(run.url), Person(run.url)
    with step("a rep and a manager log in"):
        rep.log_in("rep@demo.example")
        manager.log_in("manager@demo.example")
    sold = Sale(rep, manager)
    with step("an offering of the catalog can be sold today"):
        sold.choose()
    with step("the estimate says what a split deal would earn, and writes nothing"):
        sold.estimate()
    with step("the deal is logged once, also when it is sent twice"):
        sold.log()
    with step("it is submitted, and its owner cannot approve it"):
        sold.submit()
    with step("the manager approves it, once"):
        sold.approve()
    with step("its credits are what was estimated, each with its explanation"):
        sold.credits()
    with step("attainment, board and leaderboard have moved by them"):
        sold.moved()
    with step("cancelled, it nets to zero by exact reversals"):
        sold.cancel()
    with step("a program with a key sees it, and a partner does not see who sold it"):
        sold.programs(run)


class Sale:
    """One deal of the rep and a colleague, from the catalog to its reversal."""

    def __init__(self, rep: Person, manager: Person) -> None:
        self.rep = rep
        self.manager = manager

    def choose(self) -> None:
        self.on = next(
            row["starts"]
            for row in self.rep.json("GET", "/api/v1/periods/?grain=month&state=open")["results"][::-1]
        )
        offerings = self.rep.json("GET", "/api/v1/offerings/?page_size=200")["results"]
        sellable = [o for o in offerings if self._answer(o["slug"])["sellable"]]
        if len(sellable) < 2:
            raise Failed(f"only {len(sellable)} of {len(offerings)} offerings can be sold on {self.on}")
        self.offerings = [sellable[0]["slug"], sellable[-1]["slug"]]
        self.customer = self.rep.json("GET", "/api/v1/customers/?page_size=1")["results"][0]["slug"]
        (mine,) = self.rep.json("GET", "/api/v1/attainments/")["results"]
        colleagues = self.manager.json("GET", f"/api/v1/attainments/?team={mine['team']}&page_size=200")[
            "results"
        ]
        self.me = mine["slug"]
        self.colleague = next(row["slug"] for row in colleagues if row["quota"] and row["slug"] != self.me)
        self.measure, self.team, self.period = mine["measure"], mine["team"], mine["period"]

    def _answer(self, slug: str) -> Any:
        return self.rep.json("GET", f"/api/v1/offerings/{slug}/answer/?on={self.on}")

    @property
    def body(self) -> dict[str, Any]:
        amounts = ("990000.01", "2500.50")
        return {
            "customer": self.customer,
            "title": "Smoke test",
            "close_date": self.on,
            "currency": "USD",
            "lines": [
                {"offering": slug, "amount": {"amount": amount, "currency": "USD"}}
                for slug, amount in zip(self.offerings, amounts, strict=True)
            ],
            "shares": [{"rep": self.me, "percent": "66.6667"}, {"rep": self.colleague, "percent": "33.3333"}],
        }

    def estimate(self) -> None:
        before = self._ledger()
        found = self.rep.json("POST", "/api/v1/credit-estimates/", self.body)
        self.estimated = sorted(_credit(credit) for credit in found["credits"])
        if not self.estimated or self._ledger() != before:
            raise Failed("the estimate is empty, or was posted")

    def _ledger(self) -> int:
        return int(self.manager.json("GET", "/api/v1/credits/?count=true&page_size=1")["total"])

    def log(self) -> None:
        wrong = {**self.body, "shares": [{"rep": self.me, "percent": "99"}]}
        problem = self.rep.json("POST", "/api/v1/deals/", wrong, expect=422)
        _same([(e["code"], e["pointer"]) for e in problem["errors"]], [("shares_do_not_add_up", "/shares")])
        once = {"Idempotency-Key": "smoke"}
        first = self.rep.json("POST", "/api/v1/deals/", self.body, expect=201, headers=once)
        again = self.rep.json("POST", "/api/v1/deals/", self.body, expect=201, headers=once)
        _same(first, again)
        self.id, self.deal = first["id"], f"/api/v1/deals/{first['id']}/"

    def submit(self) -> None:
        self.rep.json("GET", self.deal)
        stale = {"If-Match": self.rep.tag}
        self.rep.json("PATCH", self.deal, {"title": "Smoke test, edited"}, headers=stale)
        self.rep.json("POST", f"{self.deal}submit/", expect=412, headers=stale)
        _same(self.rep.json("POST", f"{self.deal}submit/")["state"], "submitted")
        self.rep.json("POST", f"{self.deal}approve/", expect=403)

    def approve(self) -> None:
        self.before = self._attained()
        self.manager.json("GET", self.deal)
        seen = {"If-Match": self.manager.tag}
        _same(self.manager.json("POST", f"{self.deal}approve/", headers=seen)["state"], "approved")
        self.manager.json("POST", f"{self.deal}approve/", expect=409)

    def credits(self) -> None:
        posted = self._credits()
        _same(sorted(_credit(credit) for credit in posted), self.estimated)
        for credit in posted:
            told = self.manager.json("GET", f"/api/v1/credits/{credit['id']}/explanation/")
            _same(told["credit"]["amount"], credit["amount"])
        self.earned = sum(
            _cents(c["amount"]) for c in posted if c["rep"] == self.me and c["measure"] == self.measure
        )

    def _credits(self) -> list[Any]:
        found: list[Any] = self.manager.json("GET", f"/api/v1/credits/?deal={self.id}&page_size=200")[
            "results"
        ]
        return found

    def moved(self) -> None:
        _same(self._attained() - self.before, self.earned)
        board = self.rep.json("GET", f"/api/v1/leaderboards/{self.measure}/?period={self.period}&around=me")
        _same(
            [_cents(row["value"]) for row in board["results"] if row["slug"] == self.me], [self._attained()]
        )
        self.manager.get(f"/quotas/board/{self.team}/")
        self.rep.get("/quotas/leaderboard/")

    def _attained(self) -> int:
        (mine,) = self.rep.json("GET", f"/api/v1/attainments/?period={self.period}&measure={self.measure}")[
            "results"
        ]
        return _cents(mine["credited"])

    def cancel(self) -> None:
        _same(
            self.manager.json("POST", f"{self.deal}cancel/", {"reason": "Smoke test."})["state"], "cancelled"
        )
        entries = self._credits()
        _same(len(entries), 2 * len(self.estimated))
        _same(
            {e["reverses"] for e in entries if e["reverses"]}, {e["id"] for e in entries if e["reversed_by"]}
        )
        _same(sum(_cents(entry["amount"]) for entry in entries if isinstance(entry["amount"], dict)), 0)
        _same(self._attained(), self.before)

    def programs(self, run: Run) -> None:
        auditor = Person(run.url, _key(run.manage("create_api_key", "smoke-auditor", "--role", "auditor")))
        _same(auditor.json("GET", self.deal)["owner"], self.me)
        publisher = self.rep.json("GET", f"/api/v1/offerings/{self.offerings[0]}/")["publisher"]["slug"]
        made = run.manage("create_api_key", "smoke-partner", "--role", "partner", "--publisher", publisher)
        partner = Person(run.url, _key(made))
        _same(partner.json("GET", self.deal)["owner"], None)
        partner.json("GET", f"{self.deal}explanation/", expect=404)
        partner.json("GET", "/api/v1/credits/", expect=404)


def _credit(credit: Any) -> str:
    return json.dumps(
        [credit[key] for key in ("line_no", "rep", "team", "measure", "component", "amount")], sort_keys=True
    )


def _cents(money: Any) -> int:
    return int(money["amount"].replace(".", ""))


def _key(said: str) -> str:
    found = re.search(r"pk_[a-z0-9]+_[A-Za-z0-9]+", said)
    if not found:
        raise Failed(f"create_api_key printed no key: {said}")
    return found[0]


def _same(found: Any, expected: Any) -> None:
    if found != expected:
        raise Failed(f"{found!r} instead of {expected!r}")


def main() -> int:
    scratch = Path(tempfile.mkdtemp(prefix="parity-smoke-"))
    scratch.chmod(0o755)  # run as root, PostgreSQL is somebody else and passes through
    clone = scratch / "clone"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(CHECKOUT), str(clone)], check=True)
    run = Run(clone, port)
    try:
        with step("make run from a clean clone, installs included (goal: 120 s)"):
            run.start(FIRST_SECONDS)
        walk(run)
        with step("Ctrl-C stops everything"):
            run.stop()
        with step("make run the second time (goal: 10 s)"):
            run.start(SECOND_SECONDS)
        with step("kill -9 of everything"):
            run.kill()
        with step("make run comes back"):
            run.start(FIRST_SECONDS)
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
