#!/usr/bin/env python3
"""Appends a telemetry event without telemetry-upload installed. Paste everything above value() into
your tool, and set APP.

usage: append.py EVENT [key=value]...

Of these values, true, false and plain numbers (2, -0.5) are written as such. What would lose a digit (007, 1.10,
1e5, more than 15 characters) stays text, and so do *Id, *Type, *version, command, commands, platform and source.
"""

import datetime
import json
import os
import re
import sys
import time
import uuid

APP = "atomic"
ON = ("", "1", "true", "on", "yes", "y", "enable", "enabled")
OFF = ("", "0", "false", "off", "no", "n")
CI = ("CI", "CONTINUOUS_INTEGRATION", "BUILD_ID", "BUILD_NUMBER", "RUN_ID", "TF_BUILD", "TEAMCITY_VERSION")


def record(event, **fields):
    """Appends one event if the person agreed. Never raises, never prints, waits half a second at most.

    A field that JSON cannot hold, NaN for one, is left out."""
    try:
        import fcntl  # Not on Windows: there only the binary appends.

        env = os.environ
        if env.get("CI") != "false" and any(env.get(name) for name in CI):
            return
        variable = re.sub("[^A-Za-z0-9]", "_", APP).upper() + "_TELEMETRY"
        if env.get(variable, "").strip().lower() not in ON:
            return
        if env.get("DO_NOT_TRACK", "").strip().lower() not in OFF:
            return
        share = env.get("XDG_DATA_HOME", "")
        share = share if os.path.isabs(share) else os.path.join(env.get("HOME", "/nowhere"), ".local/share")
        folder = env.get("TELEMETRY_UPLOAD_DATA_DIR") or os.path.join(share, APP)
        with open(os.path.join(folder, "telemetry.json"), encoding="utf-8-sig") as file:
            consent = json.load(file)
        if consent.get("enabled") is not True or consent.get("consentGiven") is not True:
            return
        now = datetime.datetime.now(datetime.timezone.utc)
        line = {
            "eventType": event,
            "eventId": str(uuid.uuid4()),
            "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z",
            "anonymousId": consent.get("anonymousId"),
            "platform": sys.platform,
            **{name: value for name, value in fields.items() if is_json(value)},
        }
        text = json.dumps(line, ensure_ascii=False) + "\n"
        append(os.path.join(folder, "telemetry-events.jsonl"), text.encode("utf-8", "replace"), fcntl)
    except Exception:
        pass  # Telemetry is never a reason for the host to fail.


def is_json(value):
    try:
        json.dumps(value, allow_nan=False)
        return True
    except (TypeError, ValueError, RecursionError):
        return False


def append(buffer, line, fcntl):
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(buffer, flags, 0o600)
    has_locks = True
    try:
        for _ in range(100):  # If a hung process keeps the lock: one write is safe without it.
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.005)
            except OSError:  # The file system has no locks: another process may be writing.
                has_locks = False
                break
        size = os.fstat(fd).st_size
        if not has_locks or size and os.pread(fd, 1, size - 1) != b"\n":
            line = b"\n" + line  # What a killed process left unfinished must not swallow this event.
        os.write(fd, line)
    finally:
        os.close(fd)  # This releases the lock.


def value(key, text):
    is_text = re.fullmatch(".*(Id|_id|Type|_type|ersion)|commands?|platform|source", key)
    looks_plain = re.fullmatch(r"true|false|-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", text)
    return json.loads(text) if looks_plain and not is_text and len(text) < 16 and text != "-0" else text


if __name__ == "__main__" and len(sys.argv) > 1:
    pairs = [pair.split("=", 1) for pair in sys.argv[2:] if "=" in pair]
    record(sys.argv[1], **{key: value(key, text) for key, text in pairs})
