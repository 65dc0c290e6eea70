#!/bin/sh
# Makes the image of the gateway, sluice:local, from this source: one static binary, nothing is pulled.
. "$(dirname "$0")/compose/common.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
(cd ../.. && CGO_ENABLED=0 go build -o "$dir/gateway" ./cmd/gateway)
mkdir -p "$dir/tmp"
tar -C "$dir" -c . | docker import -c 'ENTRYPOINT ["/gateway"]' - "${SLUICE_IMAGE:-sluice:local}"
