package weft;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Handed to a main that takes a second parameter. */
public final class Context {
    private final String activationId;
    private final long deadline;
    private final String traceparent;
    private final long endsNanos;
    private final CountDownLatch cancelled = new CountDownLatch(1);

    Context(String activationId, long deadline, String traceparent, long remainingMillis) {
        this.activationId = activationId;
        this.deadline = deadline;
        this.traceparent = traceparent;
        this.endsNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(remainingMillis);
    }

    public String activationId() {
        return activationId;
    }

    /** When the run ends at the latest, in milliseconds since 1970. */
    public long deadline() {
        return deadline;
    }

    /** Of a call that is traced; else empty. */
    public String traceparent() {
        return traceparent;
    }

    public long remainingMillis() {
        return Math.max(0, TimeUnit.NANOSECONDS.toMillis(endsNanos - System.nanoTime()));
    }

    /** Whether nobody waits for the answer any more. */
    public boolean cancelled() {
        return cancelled.getCount() == 0;
    }

    /** Waits until the run is cancelled, or so long; says whether it is. */
    public boolean awaitCancellation(Duration atMost) throws InterruptedException {
        return cancelled.await(atMost.toNanos(), TimeUnit.NANOSECONDS);
    }

    void cancel() {
        cancelled.countDown();
    }
}
