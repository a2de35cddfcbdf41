import java.io.FileOutputStream;
import java.io.IOException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** A service with little to do and a heap that fits: a small task each 20 ms on a pool of four threads. */
final class Main {
    public static void main(String[] arguments) throws IOException {
        FileOutputStream work = new FileOutputStream("/out/work", true);
        ScheduledExecutorService pool = Executors.newScheduledThreadPool(4);
        pool.scheduleAtFixedRate(() -> handle(work), 0, 20, TimeUnit.MILLISECONDS);
    }

    private static void handle(FileOutputStream work) {
        StringBuilder page = new StringBuilder();
        for (int i = 0; i < 500; i++) {
            page.append("line ").append(i).append('\n');
        }
        try {
            if (page.length() > 0) {
                work.write('.');
            }
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }
}
