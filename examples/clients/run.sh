#!/usr/bin/env bash
# Tests the clients of this folder, each against one and the same server: that of REALGUARDIO_READY_FILE, or a
# `realguardio dev --tls` of its own. Names of folders limit it to these.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$(cd ../.. && pwd)

if [[ -z "${REALGUARDIO_READY_FILE:-}" ]]; then
  exec "$root/.ci/with-dev" --tls -- ./run.sh "$@"
fi
# Clients are registered by `realguardio clients create`; the server's authority is trusted the way each language has it.
export PATH="$root/.build/bin:$PATH"
SSL_CERT_FILE=$(node -p 'JSON.parse(require("fs").readFileSync(process.env.REALGUARDIO_READY_FILE)).ca_file')
export SSL_CERT_FILE NODE_EXTRA_CA_CERTS=$SSL_CERT_FILE

go_module() { go vet ./... && go test -race -count=1 ./...; }
node_package() { node --test --test-reporter=spec; }

[[ $# -gt 0 ]] || set -- go node
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
declare -A running
for client; do
  [[ -f $client/go.mod ]] && run=go_module || run=node_package
  (cd "$client" && $run) >"$logs/$client" 2>&1 &
  running[$client]=$!
done
failed=0
for client; do
  wait "${running[$client]}" || failed=1
  echo "--- examples/clients/$client" && cat "$logs/$client"
done
exit "$failed"
