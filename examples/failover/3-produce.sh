#!/bin/sh
# Produces ten records through the gateway and reads them back.
. "$(dirname "$0")/compose/common.sh"
seq 1 10 | sed "s/^/${1:-before}-/" | tool kafka-console-producer --bootstrap-server gateway:6969 --topic resilient_topic
tool kafka-console-consumer --bootstrap-server gateway:6969 --topic resilient_topic --from-beginning --max-messages "${2:-10}" --timeout-ms 60000
echo "ends on prod and dr:"
ends prod
ends dr
