# For the step scripts: works with docker compose v2 and docker-compose 1.29.
set -eu
cd "$(dirname "$0")" # the folder of the script that includes this
if docker compose version >/dev/null 2>&1; then compose() { docker compose "$@"; }; else compose() { docker-compose "$@"; }; fi
tool() { name=$1; shift; compose exec -T tools /opt/kafka/bin/$name.sh "$@"; }
ends() { tool kafka-get-offsets --bootstrap-server "$1:9092" --topic resilient_topic; }
until_true() { # description, command...
	what=$1; shift
	for _ in $(seq 1 120); do if "$@" >/dev/null 2>&1; then return 0; fi; sleep 1; done
	echo "waited in vain for $what" >&2
	return 1
}
