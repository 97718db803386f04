#!/usr/bin/env python3
"""Breaks the rules of the protocol one by one, in a copy, and sees the torture suite go red for each.

    python3 tests/torture/broken_rules.py [words of a rule's name…]

A rule is broken by replacing a piece of the source that must be there exactly once, so a rule that is
written differently one day fails here and is not skipped. Exit code 0: every broken rule was found.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# A broken rule may make a pass spin or wait for ever: that is red, too.
SECONDS_MAX = 900


@dataclass
class Rule:
    """A rule, where it stands, how it is broken, and what should go red."""

    name: str
    file: str
    old: str
    new: str
    suite: str


STEPS = "--lib torture::"
RULES = [
    Rule(
        "the buffer is synced before anything of it is sent",
        "src/buffer.rs",
        "os::sync(&buffer.file).with_context",
        "Ok::<(), io::Error>(()).with_context",
        STEPS + "power_cuts",
    ),
    Rule(
        "lines appended again are synced before the cursor passes",
        "src/buffer.rs",
        "        os::sync(&self.file).with_context(context)?;\n",
        "",
        STEPS + "power_cuts",
    ),
    Rule(
        "an append of kept lines begins with a newline",
        "src/buffer.rs",
        "let mut block = vec![b'\\n'];",
        "let mut block = Vec::new();\n        let _ = b'\\n';",
        STEPS + "disturbances",
    ),
    Rule(
        "kept lines are appended again before the cursor passes",
        "src/turn.rs",
        "        buffer.append_again(end, kept)?;\n        buffer.commit(end)",
        "        buffer.commit(end)?;\n        buffer.append_again(end, kept)",
        STEPS + "crash_points",
    ),
    Rule(
        "batches under way are committed in the order of the buffer",
        "src/turn.rs",
        "let Some(first) = self.under_way.pop_front() else {",
        "let Some(first) = self.under_way.pop_back() else {",
        STEPS + "crash_points",
    ),
    Rule(
        "what was taken of the batches under way is committed when the sending stops",
        "src/turn.rs",
        "next = if stop.is_some() || self.is_next_answered() {",
        "next = if stop.is_none() && self.is_next_answered() {",
        STEPS + "crash_points",
    ),
    Rule(
        "rejected lines are written down before the cursor passes",
        "src/turn.rs",
        "        ledger::rejected(pass.paths, &buffer.name, pass.world.now(), &lines)?;\n        let kept",
        "        buffer.commit(end)?;\n        ledger::rejected(pass.paths, &buffer.name, pass.world.now(), &lines)?;\n        let kept",
        STEPS + "crash_points",
    ),
    Rule(
        "rejected lines are synced before the cursor passes",
        "src/ledger.rs",
        "        &rejections,\n        Durable::Now,",
        "        &rejections,\n        Durable::Eventually,",
        STEPS + "power_cuts",
    ),
    Rule(
        "a cursor's commit is synced",
        "src/cursor.rs",
        "        os::sync(&self.file)?;\n        self.last = next;",
        "        self.last = next;",
        STEPS + "power_cuts",
    ),
    Rule(
        "the whole last line vouches for the offset",
        "src/cursor/mark.rs",
        "fnv1a_from(fnv1a(self.trail()), &line.to_le_bytes())",
        "fnv1a_from(fnv1a(self.trail()), &(line & 0).to_le_bytes())",
        "--lib cursor::",
    ),
    Rule(
        "a commit overwrites the older of two slots",
        "src/cursor.rs",
        "next.sequence % 2 * SLOT_BYTES as u64",
        "0",
        STEPS + "crash_points",
    ),
    Rule(
        "no cursor, no post",
        "src/turn.rs",
        "        self.intake.buffer.arm()?;\n",
        "",
        STEPS + "disturbances",
    ),
    Rule(
        "a cursor that is not true any more is replaced before it can be true again",
        "src/buffer.rs",
        "if !cursor.stands_at(self.mark.offset) {",
        "if false {",
        STEPS,
    ),
    Rule(
        "the check is made over the bytes as they were read",
        "src/buffer.rs",
        "        self.arm()?;\n        let path = &self.cursor_path;",
        "        self.arm()?;\n        let mut bytes = vec![0; mark.reach() as usize];\n        os::read_at(&self.file, &mut bytes, mark.offset - mark.reach())?;\n        let mark = &Mark::of(mark.offset, mark.line, &bytes);\n        let path = &self.cursor_path;",
        STEPS + "disturbances",
    ),
    Rule(
        "what was read before is compared at every read",
        "src/lines.rs",
        "if read < bytes.len() || bytes[..overlap] != self.window[self.window.len() - overlap..] {",
        "if read < bytes.len() {",
        "--lib lines::",
    ),
    Rule(
        "kept lines are not brought back into a buffer that the person changed",
        "src/buffer.rs",
        "if !end.holds(&self.file).with_context(context)? {",
        "if false {",
        STEPS + "disturbances",
    ),
    Rule(
        "the vouching bytes are compared before each piece of the copy",
        "src/settle.rs",
        "if !mark.holds(&buffer.file)? || !end.holds(&buffer.file)? {",
        "if !end.holds(&buffer.file)? {",
        STEPS + "disturbances",
    ),
    Rule(
        "the vouching bytes are compared before the truncation",
        "src/settle.rs",
        "if !mark.holds(&buffer.file)? || !copy.holds(&buffer.file)? {",
        "if !copy.holds(&buffer.file)? {",
        STEPS + "disturbances",
    ),
    Rule(
        "the end of the copy is compared before the truncation",
        "src/settle.rs",
        "if !mark.holds(&buffer.file)? || !copy.holds(&buffer.file)? {",
        "if !mark.holds(&buffer.file)? {",
        STEPS + "disturbances",
    ),
    Rule(
        "the size is compared under the lock before the truncation",
        "src/settle.rs",
        "if buffer.length()? != size {",
        "if false {",
        STEPS + "disturbances",
    ),
    Rule(
        "nobody has the file open while it is truncated (the lease)",
        "src/settle.rs",
        "let lease = lease::take(&buffer.file);",
        "let lease = Lease::Unsupported;",
        STEPS + "disturbances",
    ),
    Rule(
        "the place of the copy is blanked first",
        "src/settle.rs",
        "        if write(buffer, mark, &from, blank_to, newlines)?.is_none() {",
        "        if false && write(buffer, mark, &from, blank_to, newlines)?.is_none() {",
        STEPS + "crash_points",
    ),
    Rule(
        "the blanking is synced before the copy",
        "src/settle.rs",
        "        self.blanked = self.blanked.max(blank_to);\n        os::sync(&buffer.file)?;\n",
        "        self.blanked = self.blanked.max(blank_to);\n",
        STEPS + "power_cuts",
    ),
    Rule(
        "the copy is synced before the truncation",
        "src/settle.rs",
        "        os::sync(&buffer.file)?;\n        self.end = end;",
        "        self.end = end;",
        STEPS + "power_cuts",
    ),
    Rule(
        "the truncation is synced before the cursor says 0",
        "src/settle.rs",
        "                os::sync(&buffer.file)?;\n                buffer.shifted",
        "                buffer.shifted",
        STEPS + "power_cuts",
    ),
    Rule(
        "the cursor says 0 only after the truncation",
        "src/settle.rs",
        "        match truncate(buffer, &mark, size, &copied.end, guard)? {",
        "        buffer.commit(&Mark::default())?;\n        match truncate(buffer, &mark, size, &copied.end, guard)? {",
        STEPS + "crash_points",
    ),
    Rule(
        "the cursor is set to 0 after the truncation",
        "src/settle.rs",
        "                buffer.commit(&Mark::default())?;\n",
        "",
        STEPS,
    ),
    Rule(
        "the copy never reaches the bytes that vouch for the offset",
        "src/settle.rs",
        "let room = mark.offset - mark.reach();\n        let Some(blank_to)",
        "let room = mark.offset;\n        let Some(blank_to)",
        STEPS,
    ),
    Rule(
        "the uploader looks once more after it has let its lock go",
        "src/upload.rs",
        "let looks_again = !ended && self.mode != Mode::Gathering;",
        "let looks_again = false && !ended && self.mode != Mode::Gathering;",
        STEPS + "disturbances",
    ),
    Rule(
        "the lock is let go before that look",
        "src/upload.rs",
        "            drop(lock);\n            // The look after the release: see `Closed::has_news`.\n            let looks_again = !ended && self.mode != Mode::Gathering;\n            held = if looks_again && closed.has_news(self.paths) {",
        "            let looks_again = !ended && self.mode != Mode::Gathering;\n            let news = looks_again && closed.has_news(self.paths);\n            drop(lock);\n            held = if news {",
        STEPS + "disturbances",
    ),
    Rule(
        "lines that a pass kept itself are not news to it",
        "src/news.rs",
        "Next::Line(line) if self.own.iter().any(|own| own.contains(&line.at.offset)) => {}",
        "Next::Line(line) if false && self.own.iter().any(|own| own.contains(&line.at.offset)) => {}",
        STEPS + "disturbances",
    ),
    Rule(
        "a torn tail is not news",
        "src/news.rs",
        "Next::Line(line) if line.shape.is_tail() => {\n                    return Ok((false, line.at.offset));",
        "Next::Line(line) if line.shape == Shape::Tail => {\n                    return Ok((true, line.at.offset));",
        "--test it race::",
    ),
    Rule(
        "one uploader at a time",
        "src/entry.rs",
        "let path = paths.uploader_lock();",
        "let path = paths.uploader_lock().with_extension(std::process::id().to_string());",
        "--test torture storm",
    ),
    Rule(
        "every line that was seen is counted (the law)",
        "src/summary.rs",
        "                _ if index >= passed => kept += 1,",
        "                _ if index >= passed => {}",
        STEPS,
    ),
    Rule(
        "an event is removed only after the server took it",
        "src/send.rs",
        "events.iter().map(|index| (*index, Fate::Kept)).collect();",
        "events.iter().map(|index| (*index, Fate::Delivered)).collect();",
        STEPS + "crash_points",
    ),
    Rule(
        "a full disk is remembered on a full disk",
        "src/state.rs",
        "Ok(replaced.or_else(|err| write_over(&path, bytes).map_err(|_| err))?)",
        "Ok(replaced?)",
        STEPS + "disturbances",
    ),
    Rule(
        "a record begins on a line of its own",
        "src/journal.rs",
        "if os::ends_torn(&file, length)? {",
        "if false {",
        STEPS + "crash_points",
    ),
]


def copy(to: Path) -> None:
    """Everything that git knows or would, as it stands."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout
    for name in names.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def test(folder: Path, target: str, suite: str) -> tuple[bool, str]:
    """Whether the suite is green, and what was red."""
    # Without optimisation: what counts is the building, and it is done anew for each rule.
    env = os.environ | {
        "CARGO_TARGET_DIR": target,
        "CARGO_PROFILE_DEV_OPT_LEVEL": "0",
        "CARGO_PROFILE_DEV_DEBUG": "0",
        "RUST_BACKTRACE": "0",
    }
    selection, _, filters = suite.partition(" ")
    command = ["cargo", "test", "--locked", "--quiet", selection]
    if selection == "--test":
        name, _, filters = filters.partition(" ")
        command.append(name)
    command += ["--", *filters.split()]
    try:
        ran = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        return False, "it never ended"
    output = ran.stdout + ran.stderr
    if "could not compile" in output:
        raise SystemExit(f"a broken rule does not compile:\n{ran.stderr}")
    red = [line.split()[1] for line in output.splitlines() if " ... FAILED" in line and line.startswith("test ")]
    red += [line.split()[1] for line in output.splitlines() if line.startswith("torture ") and "FAILED" in line]
    red += [line.strip() for line in output.splitlines() if line.startswith("    torture::")]
    return ran.returncode == 0, ", ".join(dict.fromkeys(red)) or f"exit code {ran.returncode}"


def main() -> int:
    """Breaks each rule in turn."""
    wanted = sys.argv[1:]
    rules = [rule for rule in RULES if all(word in rule.name for word in wanted)]
    survivors = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copy(folder)
        target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target" / "broken"))
        for rule in rules:
            path = folder / rule.file
            whole = path.read_text()
            if whole.count(rule.old) != 1:
                raise SystemExit(f"{rule.file} does not hold this once:\n{rule.old}")
            path.write_text(whole.replace(rule.old, rule.new))
            green, red = test(folder, target, rule.suite)
            path.write_text(whole)
            print(f"{'SURVIVED' if green else 'red'}: {rule.name}{'' if green else f' ({red})'}", flush=True)
            if green:
                survivors.append(rule.name)
    print(f"{len(rules)} rules broken, {len(rules) - len(survivors)} found")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
