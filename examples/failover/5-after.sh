#!/bin/sh
# Produces ten more: they are on dr alone, and a consumer sees all twenty.
. "$(dirname "$0")/compose/common.sh"
exec ./3-produce.sh after 20
