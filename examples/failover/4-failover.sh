#!/bin/sh
# The failover: one edited word, prod to dr (or the argument), and a look at how the move went.
. "$(dirname "$0")/compose/common.sh"
to=${1:-dr}
sed "s/resilient_topic: {cluster: [a-z]*}/resilient_topic: {cluster: $to}/" compose/sluice/sluice.yaml > compose/sluice/new.yaml
mv compose/sluice/new.yaml compose/sluice/sluice.yaml
moved() { curl -sf -u none:none "http://127.0.0.1:${ADMIN_PORT:-8888}/routes" | grep -q "\"home\": \"$to\""; }
until_true "the move to $to" moved
curl -sf -u none:none "http://127.0.0.1:${ADMIN_PORT:-8888}/moves"
