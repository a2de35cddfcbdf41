import java.io.FileOutputStream;
import java.io.IOException;

/** Threads that share a ledger: {@code ledger THREADS shared|apart}, with one monitor for all, or a ledger for each thread. */
final class Main {
    /** What a monitor guards. */
    static final class Ledger {
        private double balance;

        synchronized void post(byte[] entry) {
            balance = Work.crunch(1, balance + entry.length);
        }
    }

    /** A fixed amount of computing, about so many milliseconds. */
    static final class Work {
        static double crunch(double ms, double seed) {
            double sum = seed;
            int end = (int) (ms * 100_000);
            for (int i = 0; i < end; i++) {
                sum = Math.sqrt(sum + i * 1.000001);
            }
            return sum;
        }
    }

    public static void main(String[] arguments) throws IOException {
        int threads = Integer.parseInt(arguments[0]);
        boolean shared = arguments[1].equals("shared");
        FileOutputStream work = new FileOutputStream("/out/work", true);
        Ledger ledger = new Ledger();
        for (int i = 0; i < threads; i++) {
            Ledger own = shared ? ledger : new Ledger();
            Thread thread = new Thread(() -> serve(own, work), "worker-" + i);
            thread.start();
        }
    }

    private static void serve(Ledger ledger, FileOutputStream work) {
        try {
            while (true) {
                byte[] entry = new byte[32 * 1024];
                ledger.post(entry);
                work.write('.');
            }
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }
}
