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

if [[ -z "${REALGUARDIO_READY_FILE:-}" ]]; then
  # shellcheck disable=SC2086 # several flags in one variable
  exec ../../.ci/with-dev ${DEV_FLAGS:-} -- e2e/run.sh "$@"
fi
NODE_EXTRA_CA_CERTS=$(node -p 'JSON.parse(require("fs").readFileSync(process.env.REALGUARDIO_READY_FILE)).ca_file')
export NODE_EXTRA_CA_CERTS
exec node --test --test-concurrency=1 --test-reporter=spec "$@" e2e/*.test.mjs
