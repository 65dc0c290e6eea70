#!/bin/sh
# Starts prod, dr, MirrorMaker 2, the gateway and a box with the console tools.
. "$(dirname "$0")/compose/common.sh"
compose up -d
until_true "prod" tool kafka-topics --bootstrap-server prod:9092 --list
until_true "dr" tool kafka-topics --bootstrap-server dr:9092 --list
until_true "the gateway" tool kafka-topics --bootstrap-server gateway:6969 --list
echo "the gateway answers on gateway:6969, its admin API on http://127.0.0.1:${ADMIN_PORT:-8888}"
