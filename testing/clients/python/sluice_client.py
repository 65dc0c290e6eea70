"""A kafka-python producer or consumer that prints what it sees as lines of JSON."""
import json
import sys
import threading
import time

from kafka import KafkaConsumer, KafkaProducer

lock = threading.Lock()
stopped = threading.Event()


def show(**event):
    with lock:
        print(json.dumps(event), flush=True)


def watch():
    sys.stdin.read()
    stopped.set()


def produce(bootstrap, topic, name, every):
    producer = KafkaProducer(bootstrap_servers=bootstrap, client_id=name)
    n = 0
    while not stopped.is_set():
        ident = f"{name}-{n}"
        future = producer.send(topic, ident.encode())
        future.add_callback(lambda m, i=ident: show(ev="ack", id=i, partition=m.partition, offset=m.offset))
        future.add_errback(lambda e, i=ident: show(ev="error", msg=f"{i}: {e!r}"))
        n += 1
        time.sleep(every)
    producer.flush(60)
    producer.close()


def consume(bootstrap, topic, name):
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=name, client_id=name,
        auto_offset_reset="earliest", auto_commit_interval_ms=1000)
    while not stopped.is_set():
        for records in consumer.poll(timeout_ms=200).values():
            for r in records:
                show(ev="rec", id=r.value.decode(), partition=r.partition, offset=r.offset)
    consumer.close()


threading.Thread(target=watch, daemon=True).start()
try:
    if sys.argv[1] == "producer":
        produce(sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5]))
    else:
        consume(sys.argv[2], sys.argv[3], sys.argv[4])
except Exception as e:  # whatever reaches a user is an error
    show(ev="error", msg=repr(e))
    sys.exit(1)
