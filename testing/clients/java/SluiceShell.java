import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;

/** Does what the lines of its standard input say, with clients of default settings, and prints what came of it. */
public final class SluiceShell {
  private static final String BYTES = "org.apache.kafka.common.serialization.ByteArray";

  private static Properties settings(String[] args) {
    Properties p = new Properties();
    p.put("bootstrap.servers", args[0]);
    p.put("client.id", args[1]);
    return p;
  }

  public static void main(String[] args) throws Exception {
    Properties p = settings(args);
    p.put("key.serializer", BYTES + "Serializer");
    p.put("value.serializer", BYTES + "Serializer");
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(p); Admin admin = Admin.create(settings(args))) {
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        String[] f = line.split("\t", -1);
        try {
          switch (f[0]) {
            case "produce" -> producer.send(record(f)).get();
            case "create" -> admin.createTopics(List.of(new NewTopic(f[1], Optional.of(Integer.parseInt(f[2])), Optional.empty()))).all().get();
            case "read" -> read(args, f[1], Integer.parseInt(f[2]));
            default -> throw new IllegalArgumentException(line);
          }
          System.out.println("ok");
        } catch (ExecutionException e) {
          System.out.println("error\t" + String.valueOf(e.getCause()).replaceAll("\\s+", " "));
        } catch (RuntimeException e) {
          System.out.println("error\t" + String.valueOf(e).replaceAll("\\s+", " "));
        }
        System.out.flush();
      }
    }
  }

  /** Topic, value, and keys and values of headers. */
  private static ProducerRecord<byte[], byte[]> record(String[] f) {
    ProducerRecord<byte[], byte[]> r = new ProducerRecord<>(f[1], Base64.getDecoder().decode(f[2]));
    for (int i = 3; i + 1 < f.length; i += 2) {
      r.headers().add(f[i], Base64.getDecoder().decode(f[i + 1]));
    }
    return r;
  }

  private static void read(String[] args, String topic, int n) {
    Properties p = settings(args);
    p.put("group.id", args[1] + "-" + topic);
    p.put("group.protocol", "classic");
    p.put("auto.offset.reset", "earliest");
    p.put("key.deserializer", BYTES + "Deserializer");
    p.put("value.deserializer", BYTES + "Deserializer");
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(p)) {
      consumer.subscribe(List.of(topic));
      while (n > 0) {
        for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200))) {
          StringBuilder b = new StringBuilder("record\t");
          b.append(r.value() == null ? "null" : Base64.getEncoder().encodeToString(r.value()));
          for (Header h : r.headers()) {
            b.append('\t').append(h.key()).append('\t').append(Base64.getEncoder().encodeToString(h.value() == null ? new byte[0] : h.value()));
          }
          System.out.println(b);
          n--;
        }
      }
    }
  }
}
