#!/bin/sh
# Starts one broker that is its own controller; the argument is the cluster's name. Runs in the container:
# Kafka's image has its scripts in /opt/kafka, and its user may write to /tmp alone.
cat > /tmp/server.properties <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
advertised.listeners=PLAINTEXT://$1:9092
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=/tmp/kafka-data
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
P
case $1 in
prod) id=cHJvZC1zbHVpY2UtZGVtbw ;;
*) id=ZHItc2x1aWNlLWRlbW8tMQ ;;
esac
/opt/kafka/bin/kafka-storage.sh format -t $id -c /tmp/server.properties --ignore-formatted &&
	exec /opt/kafka/bin/kafka-server-start.sh /tmp/server.properties
