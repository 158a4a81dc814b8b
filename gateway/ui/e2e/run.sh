#!/usr/bin/env bash
# Runs the browser tests. Without REALGUARDIO_READY_FILE they get a `realguardio dev` of their own, which is always stopped.
#
#   REALGUARDIO_BINARY       the binary; default: .build/bin/realguardio of this repository
#   REALGUARDIO_READY_FILE   the ready file of one that is running already
#   DEV_FLAGS                further flags for `realguardio dev`, such as --tls
#   REALGUARDIO_SCREENSHOTS  a folder for screenshots; default: none are taken
#   CHROMIUM                 the browser; default: chromium or google-chrome of the PATH
#
# Arguments are passed on to `node --test`, such as --test-name-pattern.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests() {
  local ca
  ca=$(node -p 'JSON.parse(require("fs").readFileSync(process.env.REALGUARDIO_READY_FILE)).ca_file')
  NODE_EXTRA_CA_CERTS="$ca" node --test --test-concurrency=1 --test-reporter=spec "$@" e2e/*.test.mjs &
  wait $!
}

if [[ -n "${REALGUARDIO_READY_FILE:-}" ]]; then
  tests "$@"
  exit
fi

binary=${REALGUARDIO_BINARY:-$(cd ../.. && pwd)/.build/bin/realguardio}
scratch=$(mktemp -d)
server=
stop() {
  local code=$?
  trap - EXIT INT TERM
  if [[ -n "$server" ]] && kill "$server" 2>/dev/null; then
    for ((tenths = 0; tenths < 150; tenths++)); do kill -0 "$server" 2>/dev/null && sleep 0.1 || break; done
    if kill -KILL "$server" 2>/dev/null; then
      echo "realguardio dev did not stop within 15 s of being told to" >&2
      code=1
    fi
    wait "$server" 2>/dev/null || true
  fi
  if ((code != 0)); then
    echo "--- the end of the server's log ---" >&2
    tail -n 40 "$scratch/server.log" >&2 || true
  fi
  rm -rf "$scratch"
  exit "$code"
}
trap stop EXIT INT TERM

export REALGUARDIO_READY_FILE="$scratch/ready.json"
# An unknown REALGUARDIO_ variable is refused by the binary.
env -u REALGUARDIO_BINARY -u REALGUARDIO_SCREENSHOTS "$binary" dev --ephemeral --random-ports ${DEV_FLAGS:-} \
  --ready-file "$REALGUARDIO_READY_FILE" >"$scratch/server.log" 2>&1 &
server=$!
for ((tenths = 0; tenths < 300; tenths++)); do
  [[ -s "$REALGUARDIO_READY_FILE" ]] && break
  kill -0 "$server" 2>/dev/null || { echo "realguardio dev ended before it was ready" >&2; exit 1; }
  sleep 0.1
done
[[ -s "$REALGUARDIO_READY_FILE" ]] || { echo "realguardio dev was not ready within 30 s" >&2; exit 1; }
tests "$@"
