#!/bin/sh
# Ends everything and puts the file back as it was.
. "$(dirname "$0")/compose/common.sh"
compose down -v
sed "s/resilient_topic: {cluster: [a-z]*}/resilient_topic: {cluster: prod}/" compose/sluice/sluice.yaml > compose/sluice/new.yaml
mv compose/sluice/new.yaml compose/sluice/sluice.yaml
