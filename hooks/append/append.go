//go:build unix

// Appends a telemetry event without telemetry-upload installed. Paste everything above value into your tool,
// and set app.
//
// usage: append EVENT [key=value]...
//
// Of these values, true, false and plain numbers (2, -0.5) are written as such. What would lose a digit (007, 1.10,
// 1e5, more than 15 characters) stays text, and so do *Id, *Type, *version, command, commands, platform and source.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const app = "atomic"
const ci = "CI CONTINUOUS_INTEGRATION BUILD_ID BUILD_NUMBER RUN_ID TF_BUILD TEAMCITY_VERSION"

var on = regexp.MustCompile(`(?i)^\s*(1|true|on|yes|y|enable|enabled)?\s*$`)
var off = regexp.MustCompile(`(?i)^\s*(0|false|off|no|n)?\s*$`)

// record appends one event if the person agreed. It never fails its host and waits half a second at most. A field
// that JSON cannot hold, NaN for one, is left out.
func record(event string, fields map[string]any) {
	for _, name := range strings.Fields(ci) {
		if os.Getenv("CI") != "false" && os.Getenv(name) != "" {
			return
		}
	}
	own := strings.ToUpper(regexp.MustCompile("[^A-Za-z0-9]").ReplaceAllString(app, "_")) + "_TELEMETRY"
	if !on.MatchString(os.Getenv(own)) || !off.MatchString(os.Getenv("DO_NOT_TRACK")) {
		return
	}
	share := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(share) {
		share = filepath.Join("/", os.Getenv("HOME"), ".local/share")
	}
	folder := os.Getenv("TELEMETRY_UPLOAD_DATA_DIR")
	if folder == "" {
		folder = filepath.Join(share, app)
	}
	var consent struct {
		Enabled, ConsentGiven bool
		AnonymousID           string
	}
	text, err := os.ReadFile(filepath.Join(folder, "telemetry.json"))
	if err != nil || json.Unmarshal(bytes.TrimPrefix(text, []byte("\uFEFF")), &consent) != nil || !consent.Enabled || !consent.ConsentGiven {
		return
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	values := map[string]any{
		"eventType":   event,
		"eventId":     fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
		"timestamp":   time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"anonymousId": consent.AnonymousID,
		"platform":    runtime.GOOS,
	}
	for key, value := range fields {
		if _, err := json.Marshal(value); err == nil {
			values[key] = value
		}
	}
	if line, err := json.Marshal(values); err == nil {
		appendLine(filepath.Join(folder, "telemetry-events.jsonl"), append(line, '\n'))
	}
}

func appendLine(buffer string, line []byte) {
	file, err := os.OpenFile(buffer, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return
	}
	defer file.Close() // This releases the lock.
	// If a hung process keeps the lock, or the file system has none: one write is safe without it.
	lock := func() error { return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
	err = lock()
	for n := 0; n < 100 && (err == syscall.EWOULDBLOCK || err == syscall.EINTR); n++ {
		time.Sleep(5 * time.Millisecond)
		err = lock()
	}
	last := []byte{'\n'}
	if info, statErr := file.Stat(); statErr == nil && info.Size() > 0 {
		_, _ = file.ReadAt(last, info.Size()-1)
	}
	if err != nil && err != syscall.EWOULDBLOCK && err != syscall.EINTR {
		last[0] = 0 // Without locks another process may be writing there.
	}
	if last[0] != '\n' {
		line = append([]byte{'\n'}, line...) // What a killed process left unfinished must not swallow this event.
	}
	_, _ = file.Write(line)
}

var isText = regexp.MustCompile(`(?s)^(.*(Id|_id|Type|_type|ersion)|commands?|platform|source)$`)
var looksPlain = regexp.MustCompile(`^(true|false|-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?)$`)

func value(key, text string) any {
	if looksPlain.MatchString(text) && !isText.MatchString(key) && len(text) < 16 && text != "-0" {
		return json.RawMessage(text)
	}
	return text
}

func main() {
	if len(os.Args) < 2 {
		return
	}
	fields := map[string]any{}
	for _, pair := range os.Args[2:] {
		if key, text, ok := strings.Cut(pair, "="); ok {
			fields[key] = value(key, text)
		}
	}
	record(os.Args[1], fields)
}
