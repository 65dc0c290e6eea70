import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** A producer or consumer with default settings that prints what it sees as lines of JSON. */
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
    if (args[0].equals("producer")) {
      produce(p, args[2], args[3], Long.parseLong(args[4]));
    } else {
      consume(p, args[2], args[3], args[4]);
    }
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

  private static void consume(Properties p, String topic, String name, String protocol) {
    p.put("group.id", name);
    p.put("group.protocol", protocol);
    p.put("auto.offset.reset", "earliest");
    p.put("auto.commit.interval.ms", "1000");
    p.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
    p.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
    try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(p)) {
      consumer.subscribe(List.of(topic));
      while (!stopped.get()) {
        try {
          for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(200))) {
            print("{\"ev\":\"rec\",\"id\":\"" + r.value() + "\",\"partition\":" + r.partition() + ",\"offset\":" + r.offset() + "}");
          }
        } catch (RuntimeException e) {
          print("{\"ev\":\"error\",\"msg\":" + quote(e) + "}");
        }
      }
    }
  }
}
