#!/usr/bin/env bash
# go_spiffe.sh SOCKET [FLAG...]: builds the go-spiffe peer and follows the Workload API on SOCKET
# as this user. Flags are the peer's: --rotations N, --want-denied. Needs Go 1.24 or newer.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 SOCKET [--rotations N] [--want-denied]" >&2; exit 2; }
socket=$(realpath -- "$1")
shift
here=$(cd "$(dirname "$0")" && pwd)
work=$here/../../build/conformance
command -v go >/dev/null || { echo "error: this needs Go 1.24 or newer; none is in PATH" >&2; exit 2; }
mkdir -p "$work"
(cd "$here/go" && CGO_ENABLED=0 go build -o "$work/go_spiffe" .)
SPIFFE_ENDPOINT_SOCKET="unix://$socket" exec "$work/go_spiffe" "$@"
