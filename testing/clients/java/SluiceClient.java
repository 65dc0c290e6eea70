import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;

/** A producer or consumers that print what they see as lines of JSON, with default settings but for what they are told. */
public final class SluiceClient {
  private static final AtomicBoolean stopped = new AtomicBoolean();

  private static synchronized void print(String line) {
    System.out.println(line);
    System.out.flush();
  }

  private static String quote(Object o) {
    return "\"" + String.valueOf(o).replace("\\", "\\\\").replace("\"", "'").replace("\n", " ") + "\"";
  }

  public static void main(String[] args) throws Exception {
    if (args[0].equals("consumers")) {
      consumers(args[1]);
      return;
    }
    Thread watch = new Thread(() -> {
      try {
        while (System.in.read() >= 0) { }
      } catch (java.io.IOException e) {
        // the parent is gone
      }
      stopped.set(true);
    });
    watch.setDaemon(true);
    watch.start();
    Properties p = new Properties();
    p.put("bootstrap.servers", args[1]);
    p.put("client.id", args[3]);
    produce(p, args[2], args[3], Long.parseLong(args[4]));
  }

  private static void produce(Properties p, String topic, String name, long everyMillis) throws Exception {
    p.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
    p.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
    try (KafkaProducer<String, String> producer = new KafkaProducer<>(p)) {
      for (long n = 0; !stopped.get(); n++) {
        String id = name + "-" + n;
        producer.send(new ProducerRecord<>(topic, id), (m, e) -> {
          if (e != null) {
            print("{\"ev\":\"error\",\"msg\":" + quote(id + ": " + e) + "}");
          } else {
            print("{\"ev\":\"ack\",\"id\":\"" + id + "\",\"partition\":" + m.partition() + ",\"offset\":" + m.offset() + "}");
          }
        });
        Thread.sleep(everyMillis);
      }
    }
  }

  /**
   * Lets consumers come and go as the lines of the standard input say, each of fields between tabs: "join", a name, topics between commas,
   * and settings, "key=value"; or "leave" and the name. The consumers that are left leave when the input ends.
   */
  private static void consumers(String bootstrap) throws Exception {
    Map<String, Consumer> all = new HashMap<>();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] f = line.split("\t");
      if (f[0].equals("leave")) {
        all.get(f[1]).ends.set(true);
        continue;
      }
      Properties p = new Properties();
      p.put("bootstrap.servers", bootstrap);
      p.put("auto.offset.reset", "earliest");
      p.put("auto.commit.interval.ms", "1000");
      p.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
      p.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
      for (int i = 3; i < f.length; i++) {
        String[] kv = f[i].split("=", 2);
        p.put(kv[0], kv[1]);
      }
      Consumer c = new Consumer(p, List.of(f[2].split(",")));
      all.put(f[1], c);
      c.start();
    }
    for (Consumer c : all.values()) {
      c.ends.set(true);
    }
    for (Consumer c : all.values()) {
      c.join();
    }
  }

  /** One that subscribes, or, with the setting "simple", one that is assigned all partitions and only commits. */
  private static final class Consumer extends Thread {
    private final AtomicBoolean ends = new AtomicBoolean();
    private final Properties settings;
    private final List<String> topics;
    private final boolean simple;

    Consumer(Properties settings, List<String> topics) {
      this.settings = settings;
      this.topics = topics;
      simple = settings.remove("simple") != null;
    }

    private void show(String rest) {
      print("{\"who\":" + quote(settings.get("group.id")) + "," + rest + "}");
    }

    @Override
    public void run() {
      try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
        if (simple) {
          consumer.assign(topics.stream().flatMap(t -> consumer.partitionsFor(t).stream()).map(i -> new TopicPartition(i.topic(), i.partition())).toList());
        } else {
          consumer.subscribe(topics);
        }
        while (!ends.get() || !committed(consumer)) {
          try {
            for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(200))) {
              show("\"ev\":\"rec\",\"topic\":" + quote(r.topic()) + ",\"id\":\"" + r.value() + "\",\"partition\":" + r.partition() + ",\"offset\":" + r.offset());
            }
            if (simple) {
              commit(consumer);
            }
          } catch (RuntimeException e) {
            show("\"ev\":\"error\",\"msg\":" + quote(e));
          }
        }
      } catch (RuntimeException e) {
        show("\"ev\":\"error\",\"msg\":" + quote("close: " + e));
      }
    }

    /**
     * Commits before the consumer leaves: in the midst of a rebalance it can't, and close does not try again. A position that the consumer
     * is just checking at a new leader (KIP-320) it leaves out without a word, so that is waited for.
     */
    private static boolean committed(KafkaConsumer<String, String> consumer) {
      try {
        for (TopicPartition p : consumer.assignment()) {
          consumer.position(p);
        }
        consumer.commitSync();
        return true;
      } catch (RebalanceInProgressException | CommitFailedException e) {
        return false;
      } catch (IllegalStateException e) { // a partition has been taken away meanwhile
        return false;
      }
    }

    /** Commits where the consumer is: that must be what is committed then. */
    private void commit(KafkaConsumer<String, String> consumer) {
      Map<TopicPartition, OffsetAndMetadata> here = new HashMap<>();
      for (TopicPartition p : consumer.assignment()) {
        here.put(p, new OffsetAndMetadata(consumer.position(p)));
      }
      consumer.commitSync(here);
      consumer.committed(here.keySet()).forEach((p, at) -> {
        if (at == null || at.offset() != here.get(p).offset()) {
          show("\"ev\":\"error\",\"msg\":" + quote(p + " is at " + here.get(p) + ", committed is " + at));
        }
      });
    }
  }
}
