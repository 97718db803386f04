// telemetry-upload: counts the sessions and slash commands of OpenCode, if the person agreed.
//
// A copy of this file in a plugin folder of OpenCode (~/.config/opencode/plugins, .opencode/plugins) is all
// there is to it. The names of commands are handed to the binary, never their arguments, prompts or paths;
// the binary decides what is recorded. Nothing here waits, prints or throws into the host.

import type { Hooks } from "@opencode-ai/plugin"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { accessSync, constants, statSync } from "node:fs"
import { homedir } from "node:os"
import { delimiter, join } from "node:path"

const app = "atomic"

/** The longest that leaving is held up so that what is under way still reaches the binary. */
const DISPOSE_MS_MAX = 500

type Payload = {
  hook_event_name: "session.created" | "command.execute.before" | "dispose"
  session_id: string
  command_name?: string
  turn_id?: string
  version?: string
}

// A copy in the global folder and one in the project's are both loaded and both called. The copy for this
// application that meets a session first owns it; the others leave the session and its commands alone.
const key = Symbol.for(`telemetry-upload.${app}`)
const shared = globalThis as { [key]?: Map<string, symbol> }
const owners = (shared[key] ??= new Map())

/** Hosts that are started from a desktop have a bare PATH, so the usual folders are looked at too. */
function findBinary(): string | undefined {
  const name = process.platform === "win32" ? "telemetry-upload.exe" : "telemetry-upload"
  const folders = [
    ...(process.env.PATH ?? "").split(delimiter).filter(Boolean),
    join(homedir(), ".local", "bin"),
    join(homedir(), ".cargo", "bin"),
    "/opt/homebrew/bin",
    "/usr/local/bin",
  ]
  const candidates = [process.env.TELEMETRY_UPLOAD_BIN, ...folders.map((folder) => join(folder, name))]
  return candidates.find((file) => file && isExecutable(file))
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}

/** Starts the binary with this payload; resolves, and never rejects, once the payload has left. */
function send(payload: Payload): Promise<void> {
  return new Promise((resolve) => {
    const done = () => resolve()
    try {
      const binary = findBinary()
      if (!binary) return done()
      const args = ["hook", "--host", "opencode"]
      if (app !== ("atomic" as string)) args.push("--app", app)
      const child = spawn(binary, args, {
        cwd: homedir(),
        detached: true,
        stdio: ["pipe", "ignore", "ignore"],
        windowsHide: true,
      })
      // A binary that cannot be started, or that ends before it has read, is told by events.
      child.on("error", done)
      child.stdin.on("error", done)
      child.stdin.end(JSON.stringify(payload), done)
      child.unref()
    } catch {
      done()
    }
  })
}

export const TelemetryUpload = async (): Promise<Hooks> => {
  const self = Symbol(app)
  const pending = new Set<Promise<void>>()

  function owns(session: string): boolean {
    if (!owners.has(session)) owners.set(session, self)
    return owners.get(session) === self
  }

  function hand(payload: Payload) {
    const sent = send(payload)
    pending.add(sent)
    void sent.then(() => pending.delete(sent))
  }

  return {
    event: async ({ event }) => {
      if (event?.type !== "session.created") return
      const session = event.properties?.info
      // The session of a subagent belongs to one that is counted already.
      if (!session?.id || session.parentID || !owns(session.id)) return
      hand({ hook_event_name: "session.created", session_id: session.id, version: session.version })
    },

    "command.execute.before": async (input) => {
      if (!input?.sessionID || !input.command || !owns(input.sessionID)) return
      hand({
        hook_event_name: "command.execute.before",
        session_id: input.sessionID,
        command_name: input.command,
        turn_id: randomUUID(),
      })
    },

    // A process that leaves right after this must not take with it what is still on its way.
    dispose: async () => {
      for (const [session, owner] of owners) {
        if (owner !== self) continue
        owners.delete(session)
        hand({ hook_event_name: "dispose", session_id: session })
      }
      let timer: ReturnType<typeof setTimeout> | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, DISPOSE_MS_MAX)
      })
      await Promise.race([Promise.all(pending), late])
      clearTimeout(timer)
    },
  }
}
