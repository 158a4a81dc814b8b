#!/usr/bin/env bash
# Tests the clients of this folder, all against one server: that of REALGUARDIO_READY_FILE, or a `realguardio dev --tls --dpop-nonce required` of
# its own. Names of folders limit it to these.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$(cd ../.. && pwd)
[[ $# -gt 0 ]] || set -- go node oauth2-proxy

if [[ -z "${REALGUARDIO_READY_FILE:-}" ]]; then
  # What takes a while the first time, before anything has to answer in time.
  for client; do [[ ! -f $client/go.mod ]] || (cd "$client" && go vet ./... && for tool in $(go list tool 2>/dev/null); do go tool -n "$tool" >/dev/null; done); done
  exec "$root/.ci/with-dev" --tls --dpop-nonce required -- ./run.sh "$@"
fi
# Clients are registered by `realguardio clients create`. The server's authority is trusted besides the system's.
export PATH="$root/.build/bin:$PATH"
NODE_EXTRA_CA_CERTS=$(node -p 'JSON.parse(require("fs").readFileSync(process.env.REALGUARDIO_READY_FILE)).ca_file')
export NODE_EXTRA_CA_CERTS SSL_CERT_DIR=${NODE_EXTRA_CA_CERTS%/*}

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
realguardio access-token --user admin@realguardio.example >"$logs/token"
# Nobody may try to sign in to one account more than ten times at once: each runs no more than four tests side by side.
declare -A running
for client; do
  [[ -f $client/go.mod ]] && tests=(go test -race -count=1 -parallel 2 ./...) || tests=(node --test --test-concurrency=1 --test-reporter=spec)
  (cd "$client" && REALGUARDIO_TOKEN_FILE=$logs/token "${tests[@]}") >"$logs/$client" 2>&1 &
  running[$client]=$!
done
failed=0
for client; do
  wait "${running[$client]}" || failed=1
  echo "--- examples/clients/$client"
  cat "$logs/$client"
done
exit "$failed"
