#!/usr/bin/env python3
"""Runs the real Claude Code and the real OpenCode with our hooks, offline, and looks at what arrives.

    python3 tests/hosts/run.py                   # the binary under target/release
    TELEMETRY_UPLOAD_BIN=… python3 tests/hosts/run.py

README.md beside this file says what is checked and what it needs. Exit code 0: everything held.
"""

import argparse
import json
import os
import pwd
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# The repository stays as it is: no cache folder beside the module that comes next.
sys.dont_write_bytecode = True
import model_server  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]

# One host run takes 1 to 6 s; a shared machine may need several times that.
HOST_RUN_S_MAX = 120
# From the end of the host until all its events are in the emulator's store.
DELIVERY_S_MAX = 60
# From the delivery until the last process of ours is gone.
LEAVING_S_MAX = 40
# How long the endpoint hangs before each reply: longer than any host takes to close, so that a host
# that waits for our pass is seen to wait.
REPLY_DELAY_MS = 2_000
# Calls of `hook` for one median; each is a few milliseconds.
HOOK_CALLS = 30

# Every word and path a person could be known by holds this, so that one search finds any leak.
CANARY = "canary"
APP = "atomic"
EVENTS = ("agent_session_start", "agent_command", "agent_session")


# --- the hosts --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Host:
    """One agent host, at the version that is checked, and the one command that is run in it."""

    name: str
    package: str
    version: str
    program: str
    command: str
    command_file: str
    session_key: str  # of the id of the session, in the lines of JSON that the host prints

    def prepare(self, home, model_url):
        """What a person would have set up already, before our hooks come."""
        file = home.project / self.command_file
        file.parent.mkdir(parents=True)
        file.write_text("---\ndescription: a command of the project\n---\nDo this: $ARGUMENTS\n")


class Claude(Host):
    def prepare(self, home, model_url):
        super().prepare(home, model_url)
        # A hook of the person's own, which an installation has to leave alone.
        own = {"type": "command", "command": f"touch '{home.own_hook_ran}'"}
        settings = {"cleanupPeriodDays": 30, "hooks": {"SessionStart": [{"hooks": [own]}]}}
        write_json(home.path / ".claude/settings.json", settings)

    def argv(self):
        prompt = f"/{self.command} {CANARY.upper()}-prompt-text with secret-word"
        # The only form that tells how each hook ended; `--verbose` is a condition of it.
        return ["-p", prompt, "--output-format", "stream-json", "--verbose", "--include-hook-events"]

    def env(self, model_url):
        return {
            "ANTHROPIC_API_KEY": "dummy",
            "ANTHROPIC_BASE_URL": model_url,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }

    def check_hooks(self, home, lines):
        """Each hook left with 0 and printed nothing; that of SessionEnd ends too late to be told."""
        problems = []
        if not home.own_hook_ran.exists():
            problems.append("the person's own SessionStart hook did not run")
        ended = [line for line in lines if line.get("subtype") == "hook_response"]
        if not any(line["hook_event"] == "UserPromptExpansion" for line in ended):
            problems.append("the host ran no hook for the slash command")
        for line in ended:
            if line["exit_code"] != 0 or line["output"]:
                said = f"exit {line['exit_code']}, printed {line['output'][:300]!r}"
                problems.append(f"hook {line['hook_event']}: {said}")
        return problems


class OpenCode(Host):
    def prepare(self, home, model_url):
        super().prepare(home, model_url)
        provider = {
            "npm": "@ai-sdk/openai-compatible",  # it is inside the host's binary, nothing is fetched
            "options": {"baseURL": f"{model_url}/v1", "apiKey": "dummy"},
            "models": {"canned": {}},
        }
        config = {
            "autoupdate": False,
            "share": "disabled",
            "model": "canned/canned",
            "small_model": "canned/canned",
            "provider": {"canned": provider},
        }
        write_json(home.path / ".config/opencode/opencode.json", config)

    def argv(self):
        return ["run", "--format", "json", "--command", self.command, f"{CANARY.upper()}-args"]

    def env(self, model_url):
        # Without these two it fetches a list of models and the types for plugins at every first
        # start, and without a network it waits for them for more than a minute.
        return {"OPENCODE_DISABLE_MODELS_FETCH": "1", "npm_config_offline": "true"}

    def check_hooks(self, home, lines):
        """Nothing: it does not tell how a plugin fared."""
        return []


# Pinned: another version is another experiment. Raise them here, run, and note it in README.md.
HOSTS = {
    "claude": Claude(
        name="claude",
        package="@anthropic-ai/claude-code",
        version="2.1.330",
        program="claude",
        command="research-codebase",
        command_file=".claude/commands/research-codebase.md",
        session_key="session_id",
    ),
    "opencode": OpenCode(
        name="opencode",
        package="opencode-ai",
        version="1.18.33",
        program="opencode",
        command="commit",
        command_file=".opencode/command/commit.md",
        session_key="sessionID",
    ),
}

# Where the hooks come from, for one run of the host. More than one is a person who installed us
# twice without noticing, which must count once.
ROUNDS = [
    ("claude", ["user"]),
    ("claude", ["plugin"]),
    ("claude", ["user", "plugin"]),
    ("opencode", ["user"]),
    ("opencode", ["user", "project"]),
]


def install_hosts(cache, hosts):
    """Puts the pinned versions into the cache folder; what is there already is not touched."""
    missing = []
    for host in hosts:
        manifest = cache / "node_modules" / host.package / "package.json"
        if not manifest.exists() or json.loads(manifest.read_text())["version"] != host.version:
            missing.append(f"{host.package}@{host.version}")
    if missing:
        print("installing", ", ".join(missing), "into", cache, flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        # Without a manifest of its own npm would look for one in the folders above.
        if not (cache / "package.json").exists():
            write_json(cache / "package.json", {"private": True})
        npm = ["npm", "install", "--save-exact", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(npm + missing, cwd=cache, check=True)
    return cache / "node_modules/.bin"


# --- one home ---------------------------------------------------------------------------------------


class Home:
    """A home, a project, and a copy of the binary, which exist for one round only.

    The copy is how processes of this round are told from all others.
    """

    def __init__(self, root, binary, host, model_url, connection_string):
        self.root = root
        self.path = root / f"{CANARY}-home"
        self.project = root / f"{CANARY}-project"
        self.data = self.path / ".local/share" / APP
        self.own_hook_ran = root / "own-hook-ran"
        self.binary = root / "bin/telemetry-upload"
        for folder in (self.path, self.project, self.data, root / "bin", root / "tmp"):
            folder.mkdir(parents=True)
        shutil.copy(binary, self.binary)
        consent = {"enabled": True, "consentGiven": True, "anonymousId": str(uuid.uuid4())}
        write_json(self.data / "telemetry.json", consent)
        host.prepare(self, model_url)
        # Nothing is inherited: CI would turn telemetry off, and a session of a host that this script
        # itself may run in would be taken for the one under test.
        self.env = {
            "HOME": str(self.path),
            "PATH": f"{root}/bin:/usr/bin:/bin",
            "TMPDIR": str(root / "tmp"),
            "TERM": "dumb",
            "LANG": "C.UTF-8",
            "USER": f"{CANARY}-user",
            "LOGNAME": f"{CANARY}-user",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": connection_string,
            **host.env(model_url),
        }

    def install_hooks(self, host, scope):
        call = [self.binary, "hooks", "install", "--host", host.name, "--scope", scope]
        done = subprocess.run(call, cwd=self.project, env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            return [f"hooks install --scope {scope}: exit {done.returncode}: {done.stderr.strip()}"]
        return []

    def processes(self):
        """The pids that run this home's copy of the binary, or a shell on its way to it."""
        binary = str(self.binary)
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    image = os.readlink(entry / "exe")
                    arguments = (entry / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue  # it ended while we looked, or is not ours to look at
                if image.startswith(binary) or binary in arguments:
                    found.append(int(entry.name))
        return found

    def end_processes(self):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Emulator:
    """The endpoint of the binary under test, which writes what it accepted to `store`."""

    def __init__(self, binary, folder, reply_delay_ms):
        self.store = folder / "store.jsonl"
        script = folder / "script.jsonl"
        write_json(script, {"delay_ms": reply_delay_ms, "times": "forever"})
        self.process = subprocess.Popen(
            [binary, "emulator", "--port", "0", "--store", self.store, "--script", script],
            env={"HOME": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.connection_string = None
        for line in self.process.stdout:
            if found := re.match(r"APPLICATIONINSIGHTS_CONNECTION_STRING='(.*)'", line):
                self.connection_string = found[1]
                break
        if self.connection_string is None:
            sys.exit(f"{binary} emulator did not say where it listens")
        # A full pipe would stop it, and what it says about each request is of no use here.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def events(self):
        """What is in the store by now. A line it is just writing comes with the next look."""
        if not self.store.exists():
            return []
        lines = self.store.read_text().split("\n")[:-1]
        return [json.loads(line)["data"]["baseData"] for line in lines if line]

    def stop(self):
        self.process.terminate()
        self.process.wait()


# --- one round --------------------------------------------------------------------------------------


@dataclass
class Run:
    """One run of a host: how long the person waited for it, and what it printed."""

    took_s: float
    code: int
    lines: list
    strangers: list  # what it printed and is not a line of JSON
    stderr: str


def run_host(programs, host, home, extra=()):
    argv = [programs / host.program, *host.argv(), *extra]
    start = time.monotonic()
    # Through pipes, and until they are closed: a process of ours that kept one would show as time.
    done = subprocess.run(
        argv,
        cwd=home.project,
        env=home.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HOST_RUN_S_MAX,
    )
    took_s = time.monotonic() - start
    lines, strangers = [], []
    for text in done.stdout.splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            strangers.append(text)
    return Run(took_s, done.returncode, lines, strangers, done.stderr)


def check_round(bench, host, sources):
    """Runs the host once with hooks from `sources`; gives the row of the table and the problems."""
    with bench.emulator(REPLY_DELAY_MS) as emulator, bench.home(host, emulator) as home:
        problems, extra = [], []
        for source in sources:
            if source != "plugin":
                problems += home.install_hooks(host, source)
            elif (bench.plugin / ".claude-plugin/plugin.json").exists():
                extra = ["--plugin-dir", bench.plugin]
            else:
                problems.append(f"no plugin in {bench.plugin}")
        run = run_host(bench.programs, host, home, extra)
        problems += check_detached(home)
        problems += check_run(run) + host.check_hooks(home, run.lines)

        delivered = wait_until(
            lambda: {event["name"] for event in emulator.events()} >= set(EVENTS), DELIVERY_S_MAX
        )
        gone = wait_until(lambda: not home.processes(), LEAVING_S_MAX)
        if gone is None:
            left = len(home.processes())
            problems.append(f"{left} processes of ours still run after {LEAVING_S_MAX} s")

        events = emulator.events()
        problems += check_events(host, events)
        problems += check_buffers(home)
        sessions = {line[host.session_key] for line in run.lines if host.session_key in line}
        problems += check_leaks(home, [emulator.store], sessions)
        row = [
            f"{host.name} {host.version}",
            "+".join(sources),
            *(str(sum(event["name"] == name for event in events)) for name in EVENTS),
            seconds(run.took_s),
            seconds(delivered),
            seconds(gone),
            "FAILED" if problems else "ok",
        ]
        return row, problems


def check_detached(home):
    """Called when the host has just ended, and the endpoint has not answered yet."""
    working = home.processes()
    if not working:
        # Either nothing was started, or the host waited until it was over.
        return ["no pass of ours was at work when the host ended"]
    problems = []
    for pid in working:
        for number in (0, 1, 2):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{number}")
            except OSError:
                continue  # closed is as good
            # A file of our own may stand in for it: locks are handed down as standard input.
            if target != "/dev/null" and not target.startswith(f"{home.data}/"):
                problems.append(f"a pass holds descriptor {number} of somebody else: {target}")
    return problems


def check_run(run):
    problems = []
    if run.code != 0:
        problems.append(f"the host left with {run.code}: {run.stderr.strip()[-500:]}")
    problems += [f"the host's stdout holds {text[:300]!r}" for text in run.strangers]
    # A hook that fails or prints is shown to the person, who did not ask for it.
    if re.search("hook|telemetry", run.stderr, re.IGNORECASE):
        problems.append(f"the host's stderr speaks of us: {run.stderr.strip()[-500:]}")
    return problems


def check_events(host, events):
    """Exactly one event of each kind, with the right fields, and no other."""
    problems = []
    arrived = Counter(event["name"] for event in events)
    for name in [*EVENTS, *sorted(set(arrived) - set(EVENTS))]:
        wanted = 1 if name in EVENTS else 0
        if arrived[name] != wanted:
            problems.append(f"{name} arrived {arrived[name]} times, not {wanted}")
    command = f"/{host.command}"
    expected = {
        "agent_session_start": {"agent_type": host.name},
        "agent_command": {"agent_type": host.name, "command": command},
        "agent_session": {"agent_type": host.name, "commands": command, "command_count": 1},
    }
    for event in events:
        values = event["properties"] | (event.get("measurements") or {})
        for field, value in expected.get(event["name"], {}).items():
            if values.get(field) != value:
                problems.append(f"{event['name']}.{field} is {values.get(field)!r}, not {value!r}")
    return problems


def check_buffers(home):
    buffers = list(home.data.glob("telemetry-events*.jsonl"))
    if not buffers:
        return ["no buffer in the data folder: nothing was ever appended"]
    sizes = {file.name: file.stat().st_size for file in buffers}
    return [f"{name} still holds {size} bytes" for name, size in sizes.items() if size > 0]


def check_leaks(home, stores, sessions):
    """No word of the prompt, no path, no name, no id of the host's, in anything of ours."""
    if not sessions:
        return ["the host did not tell the id of its session, so nothing could be searched for it"]
    words = [CANARY, "secret-word", str(home.root), *sessions]
    patterns = [re.compile(re.escape(word), re.IGNORECASE) for word in words]
    # As a word of its own, because a name like `root` may well be a part of another.
    user = re.escape(pwd.getpwuid(os.getuid()).pw_name)
    patterns.append(re.compile(rf"\b{user}\b", re.IGNORECASE))
    problems = []
    for file in [*stores, *(path for path in sorted(home.data.rglob("*")) if path.is_file())]:
        if not file.exists():
            continue
        text = f"{file.name}\n{file.read_bytes().decode(errors='replace')}"
        for pattern in patterns:
            if found := pattern.search(text):
                around = text[max(0, found.start() - 60) : found.end() + 60]
                problems.append(f"{file.name} holds {found[0]!r} in {around!r}")
    return problems


# --- what the hooks cost ----------------------------------------------------------------------------


def host_cost(bench, host, times):
    """The host's run time with and without our hooks, in turn, so that both see the same machine."""
    with (
        bench.emulator(0) as emulator,
        bench.home(host, emulator) as without,
        bench.home(host, emulator) as hooked,
    ):
        problems = hooked.install_hooks(host, "user")
        took = {without: [], hooked: []}
        for turn in range(times + 1):
            for home in (without, hooked):
                run = run_host(bench.programs, host, home)
                problems += [f"timing: {problem}" for problem in check_run(run)]
                # The first run of each home makes the host's own files.
                if turn > 0:
                    took[home].append(run.took_s)
    bare, with_hooks = statistics.median(took[without]), statistics.median(took[hooked])
    row = [
        f"{host.name} {host.version}",
        str(times),
        f"{seconds(bare)} ({spread(took[without])})",
        f"{seconds(with_hooks)} ({spread(took[hooked])})",
        f"{(with_hooks - bare) * 1000:+.0f} ms",
    ]
    return row, problems


def hook_cost(bench):
    """How long one call of `hook` takes, by event, beside a process that does nothing."""
    host = HOSTS["claude"]
    took = {"a process that does nothing": []}
    problems = set()
    with bench.emulator(0) as emulator, bench.home(host, emulator) as home:
        for _ in range(HOOK_CALLS):
            session = str(uuid.uuid4())
            env = home.env | {"CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ID": session}
            took["a process that does nothing"].append(timed(["/bin/true"], b"", env)[0])
            for payload in claude_payloads(home, host, session):
                name = payload["hook_event_name"]
                call = [home.binary, "hook", "--host", "claude"]
                elapsed_s, done = timed(call, json.dumps(payload).encode(), env)
                took.setdefault(name, []).append(elapsed_s)
                printed = done.stdout + done.stderr
                if done.returncode != 0 or printed:
                    problems.add(f"hook {name}: exit {done.returncode}, printed {printed!r}")
                # In a host the events are a tenth of a second apart, too.
                time.sleep(0.1)
    rows = []
    for name, all_s in took.items():
        rows.append([name, str(len(all_s)), f"{statistics.median(all_s) * 1000:.1f} ms"])
    return rows, sorted(problems)


def claude_payloads(home, host, session):
    """What Claude Code writes to its hooks in one run, field for field."""
    base = {
        "session_id": session,
        "transcript_path": f"{home.path}/.claude/projects/-{CANARY}-project/{session}.jsonl",
        "cwd": str(home.project),
    }
    prompt_id = str(uuid.uuid4())
    yield base | {"hook_event_name": "SessionStart", "source": "startup"}
    yield base | {
        "prompt_id": prompt_id,
        "permission_mode": "default",
        "hook_event_name": "UserPromptExpansion",
        "expansion_type": "slash_command",
        "command_name": host.command,
        "command_args": "secret-word",
        "command_source": "projectSettings",
        "prompt": f"/{host.command} secret-word",
    }
    yield base | {"prompt_id": prompt_id, "hook_event_name": "SessionEnd", "reason": "other"}


def timed(call, stdin, env):
    start = time.monotonic()
    done = subprocess.run(call, input=stdin, env=env, capture_output=True)
    return time.monotonic() - start, done


# --- the whole --------------------------------------------------------------------------------------


class Bench:
    """What all rounds share: the binary, the installed hosts, the model, a folder for the homes."""

    def __init__(self, binary, programs, plugin, model_url, root, keep):
        self.binary, self.programs, self.plugin = binary, programs, plugin
        self.model_url, self.root, self.keep = model_url, root, keep
        self.folders = 0

    def folder(self):
        self.folders += 1
        # Short: the hosts put sockets below it, whose paths have a limit of about 100 bytes.
        folder = self.root / str(self.folders)
        folder.mkdir()
        return folder

    def emulator(self, reply_delay_ms):
        emulator = Emulator(self.binary, self.folder(), reply_delay_ms)
        return Ending(emulator, emulator.stop)

    def home(self, host, emulator):
        folder = self.folder()
        home = Home(folder, self.binary, host, self.model_url, emulator.connection_string)

        def end():
            home.end_processes()
            if not self.keep:
                shutil.rmtree(folder, ignore_errors=True)

        return Ending(home, end)


class Ending:
    """A thing for a `with`, and what has to be done after it."""

    def __init__(self, thing, end):
        self.thing, self.end = thing, end

    def __enter__(self):
        return self.thing

    def __exit__(self, *_):
        self.end()


def wait_until(true, s_max):
    """The seconds until `true()` was, or None if it was not within `s_max`."""
    start = time.monotonic()
    while not true():
        if time.monotonic() - start > s_max:
            return None
        time.sleep(0.05)
    return time.monotonic() - start


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def seconds(s):
    return "never" if s is None else f"{s:.2f} s"


def spread(all_s):
    return f"{min(all_s):.2f}-{max(all_s):.2f}"


def table(head, rows):
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    print()
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def report(what, problems):
    print(f"{what}: {'FAILED' if problems else 'ok'}", flush=True)
    for problem in problems:
        print(f"    {problem}", flush=True)
    return problems


def arguments():
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "telemetry-upload-hosts"
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", choices=HOSTS, help="only this one")
    add("--times", type=int, default=5, help="timed host runs with hooks and as many without")
    add("--cache", type=Path, default=cache, help="where npm puts the hosts")
    add("--plugin-dir", type=Path, default=REPOSITORY, help="the plugin for Claude Code")
    add("--keep", action="store_true", help="keep the homes, to look at them")
    return parser.parse_args()


def main():
    if not sys.platform.startswith("linux"):
        sys.exit("this looks into /proc, so it runs on Linux only")
    # Ended from outside it still ends the emulator, and removes the homes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    args = arguments()
    built = REPOSITORY / "target/release/telemetry-upload"
    binary = Path(os.environ.get("TELEMETRY_UPLOAD_BIN") or built).resolve()
    if not binary.is_file():
        sys.exit(f"no binary at {binary}: `cargo build --release`, or set TELEMETRY_UPLOAD_BIN")
    hosts = [host for host in HOSTS.values() if args.host in (None, host.name)]
    programs = install_hosts(args.cache.resolve(), hosts)

    model = model_server.serve()
    threading.Thread(target=model.serve_forever, daemon=True).start()
    model_url = "http://127.0.0.1:%d" % model.server_address[1]

    root = Path(tempfile.mkdtemp(prefix="tu-hosts-"))
    bench = Bench(binary, programs, args.plugin_dir.resolve(), model_url, root, args.keep)
    rounds, host_costs, problems = [], [], []
    try:
        for name, sources in ROUNDS:
            if HOSTS[name] in hosts:
                row, found = check_round(bench, HOSTS[name], sources)
                rounds.append(row)
                problems += report(f"{name}, hooks from {' and '.join(sources)}", found)
        for host in hosts if args.times > 0 else []:
            row, found = host_cost(bench, host, args.times)
            host_costs.append(row)
            problems += report(f"{host.name}, {args.times} runs with hooks and without", found)
        hook_costs, found = hook_cost(bench)
        problems += report(f"{HOOK_CALLS} calls of each hook", found)
    finally:
        if args.keep:
            print("\nkept:", root)
        else:
            shutil.rmtree(root, ignore_errors=True)

    counted = ["starts", "commands", "sessions"]
    table(["host", "hooks from", *counted, "host ran", "delivered", "gone", "result"], rounds)
    if host_costs:
        table(["host", "runs each", "median without", "median with hooks", "added"], host_costs)
    table(["one call of `hook`", "calls", "median"], hook_costs)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
