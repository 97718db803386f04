#!/usr/bin/env node
// Appends a telemetry event without telemetry-upload installed. Paste everything above the
// last lines into your tool, and set APP.
//
// usage: append.mjs EVENT [key=value]...
//
// Of these values, true, false and plain numbers (2, -0.5) are written as such. What would lose a digit (007, 1.10,
// 1e5, more than 15 characters) stays text, and so do *Id, *Type, *version, command, commands, platform and source.
//
// Node knows no flock. One write on a descriptor opened for append is safe without it on a Unix; on
// Windows only the binary appends.

import { randomUUID } from "node:crypto"
import fs from "node:fs"
import { isAbsolute, join } from "node:path"
import { argv, env, platform } from "node:process"

const APP = "atomic"
const ON = ["", "1", "true", "on", "yes", "y", "enable", "enabled"]
const OFF = ["", "0", "false", "off", "no", "n"]
const CI = ["CI", "CONTINUOUS_INTEGRATION", "BUILD_ID", "BUILD_NUMBER", "RUN_ID", "TF_BUILD", "TEAMCITY_VERSION"]

/**
 * Appends one event if the person agreed. Never throws, never prints, never waits. A field that JSON cannot hold, NaN
 * for one, is left out.
 */
export function record(event, fields = {}) {
  try {
    if (platform === "win32" || (env.CI !== "false" && CI.some((name) => env[name]))) return
    const word = (name) => (env[name] ?? "").trim().toLowerCase()
    if (!ON.includes(word(APP.replace(/[^A-Za-z0-9]/gu, "_").toUpperCase() + "_TELEMETRY"))) return
    if (!OFF.includes(word("DO_NOT_TRACK"))) return
    const xdg = env.XDG_DATA_HOME ?? ""
    const share = isAbsolute(xdg) ? xdg : join(env.HOME ?? "/nowhere", ".local/share")
    const folder = env.TELEMETRY_UPLOAD_DATA_DIR || join(share, APP)
    const consent = JSON.parse(fs.readFileSync(join(folder, "telemetry.json"), "utf8").replace(/^\uFEFF/u, ""))
    if (consent.enabled !== true || consent.consentGiven !== true) return
    const line = {
      eventType: event,
      eventId: randomUUID(),
      timestamp: new Date().toISOString(),
      anonymousId: consent.anonymousId,
      platform,
      ...Object.fromEntries(Object.entries(fields).filter(([, value]) => isJson(value))),
    }
    append(join(folder, "telemetry-events.jsonl"), JSON.stringify(line) + "\n")
  } catch {
    // Telemetry is never a reason for the host to fail.
  }
}

function isJson(value) {
  try {
    let holds = true
    // JSON.stringify writes null for NaN, however deep it lies.
    const text = JSON.stringify(value, (_, inner) => {
      holds &&= typeof inner !== "number" || Number.isFinite(inner)
      return inner
    })
    return holds && text !== undefined
  } catch {
    return false
  }
}

function append(buffer, line) {
  const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW } = fs.constants
  const fd = fs.openSync(buffer, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600)
  try {
    const { size } = fs.fstatSync(fd)
    const last = Buffer.from("\n")
    if (size > 0) fs.readSync(fd, last, 0, 1, size - 1)
    // What a killed process left unfinished must not swallow this event.
    fs.writeSync(fd, last[0] === 10 ? line : "\n" + line)
  } finally {
    fs.closeSync(fd)
  }
}

// This by itself; a tool leaves it out.
function value(key, text) {
  const isText = /^(.*(Id|_id|Type|_type|ersion)|commands?|platform|source)$/s.test(key)
  const looksPlain = /^(true|false|-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?)$/.test(text)
  return looksPlain && !isText && text.length < 16 && text !== "-0" ? JSON.parse(text) : text
}

if (/append\.mjs$/.test(argv[1] ?? "") && argv.length > 2) {
  const pairs = argv.slice(3).filter((pair) => pair.includes("="))
  const typed = ([key, text]) => [key, value(key, text)]
  record(argv[2], Object.fromEntries(pairs.map((pair) => typed(pair.split(/=(.*)/s)))))
}
