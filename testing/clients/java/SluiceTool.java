import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.apache.kafka.common.utils.Exit;

/** Runs one of Kafka's tools again and again: each line of the standard input has its arguments, between tabs. What it prints comes in one line, in Base64. */
public final class SluiceTool {
  public static void main(String[] args) throws Exception {
    var run = Class.forName(args[0]).getMethod("main", String[].class);
    Exit.setExitProcedure((code, message) -> {
      throw new IllegalStateException("the tool ends with " + code + " " + message);
    });
    PrintStream out = System.out;
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      ByteArrayOutputStream printed = new ByteArrayOutputStream();
      PrintStream to = new PrintStream(printed, true, StandardCharsets.UTF_8);
      System.setOut(to);
      System.setErr(to);
      try {
        run.invoke(null, (Object) line.split("\t"));
      } catch (java.lang.reflect.InvocationTargetException e) {
        to.println("Error: " + e.getCause());
      }
      out.println(Base64.getEncoder().encodeToString(printed.toByteArray()));
      out.flush();
    }
  }
}
