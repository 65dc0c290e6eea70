#!/bin/sh
# Creates the topic through the gateway: it is made on both clusters.
. "$(dirname "$0")/compose/common.sh"
tool kafka-topics --bootstrap-server gateway:6969 --create --if-not-exists --topic resilient_topic --partitions 1 --replication-factor 1
ends prod
ends dr
