//! Between the request tasks and the recorder threads: a queue of [`Exchange`]s bounded by count and by bytes. Offering
//! never waits; what does not fit is given back.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;

use crate::gateway::exchange::{Exchange, Offer};
use crate::ledger::Reason;

/// Counted for an exchange beside its bodies: both heads, and what is pinned of the buffers they were read into.
const EXCHANGE_BYTES: u64 = 4 * 1024;
/// A recorder that has just been busy naps this long and looks again, instead of asking to be woken: so records that
/// come often cost no wake-up each.
const NAP: Duration = Duration::from_millis(1);
/// Naps without finding anything before a recorder asks to be woken.
const NAPS_MAX: u32 = 20;

/// A queue of at most `count_max` exchanges and `bytes_max` bytes.
pub fn queue(count_max: usize, bytes_max: u64) -> (Sender, Receiver) {
    let queue = Arc::new(Queue {
        items: ArrayQueue::new(count_max.max(1)),
        bytes: AtomicU64::new(0),
        bytes_max,
        closed: AtomicBool::new(false),
        sleepers: AtomicUsize::new(0),
        lock: Mutex::new(()),
        wake: Condvar::new(),
    });
    (Sender { queue: queue.clone() }, Receiver { queue, busy: AtomicBool::new(false) })
}

struct Queue {
    items: ArrayQueue<Exchange>,
    bytes: AtomicU64,
    bytes_max: u64,
    closed: AtomicBool,
    /// Recorders that have asked to be woken.
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Queue {
    fn pop(&self) -> Option<Exchange> {
        let exchange = self.items.pop()?;
        self.bytes.fetch_sub(bytes_of(&exchange), Ordering::Relaxed);
        Some(exchange)
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let _held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_all();
    }
}

fn bytes_of(exchange: &Exchange) -> u64 {
    (exchange.request.kept_bytes() + exchange.response.kept_bytes()) as u64 + EXCHANGE_BYTES
}

/// The request tasks' side.
#[derive(Clone)]
pub struct Sender {
    queue: Arc<Queue>,
}

impl Sender {
    /// Queues an exchange, or gives it back at once with the reason: the queue is full or closed.
    #[expect(clippy::result_large_err, reason = "the error is the exchange itself, moved, not made")]
    pub fn try_offer(&self, exchange: Exchange) -> Result<(), (Exchange, Reason)> {
        let queue = &*self.queue;
        let bytes = bytes_of(&exchange);
        if queue.closed.load(Ordering::Relaxed) {
            // At the stop: a call that ended after the wait for it was over, or skipped by a second signal.
            return Err((exchange, Reason::Lost));
        }
        if queue.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > queue.bytes_max {
            queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err((exchange, Reason::QueueFull));
        }
        if let Err(exchange) = queue.items.push(exchange) {
            queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err((exchange, Reason::QueueFull));
        }
        // Either this sees the sleeper, or the sleeper, which counted itself before it looked, sees the exchange.
        fence(Ordering::SeqCst);
        if queue.sleepers.load(Ordering::Relaxed) > 0 {
            let _held = queue.lock.lock().unwrap_or_else(PoisonError::into_inner);
            queue.wake.notify_one();
        }
        Ok(())
    }

    /// Takes nothing more; receivers get what is left, then [`Received::Closed`].
    pub fn close(&self) {
        self.queue.close();
    }

    /// Exchanges that wait.
    pub fn depth(&self) -> usize {
        self.queue.items.len()
    }

    /// Bytes that wait: bodies kept, and a constant for each exchange.
    pub fn bytes(&self) -> u64 {
        self.queue.bytes.load(Ordering::Relaxed)
    }
}

impl Offer for Sender {
    fn offer(&self, exchange: Exchange) {
        if let Err((exchange, reason)) = self.try_offer(exchange) {
            exchange.ticket.dropped(reason);
        }
    }
}

/// What a recorder got.
#[expect(clippy::large_enum_variant, reason = "an exchange is moved out at once; a box would be an allocation a call")]
pub enum Received {
    Item(Exchange),
    /// Nothing came in time.
    Empty,
    /// Nothing will come any more.
    Closed,
}

/// A recorder thread's side; each has its own clone.
pub struct Receiver {
    queue: Arc<Queue>,
    /// Whether the last call found an exchange.
    busy: AtomicBool,
}

impl Clone for Receiver {
    fn clone(&self) -> Receiver {
        Receiver { queue: self.queue.clone(), busy: AtomicBool::new(false) }
    }
}

impl Receiver {
    /// Waits up to `timeout` for an exchange.
    pub fn recv(&self, timeout: Duration) -> Received {
        let found = self.wait(timeout);
        self.busy.store(matches!(found, Received::Item(_)), Ordering::Relaxed);
        found
    }

    fn wait(&self, timeout: Duration) -> Received {
        let queue = &*self.queue;
        if let Some(exchange) = queue.pop() {
            return Received::Item(exchange);
        }
        let deadline = Instant::now() + timeout;
        let naps = if self.busy.load(Ordering::Relaxed) { NAPS_MAX } else { 0 };
        for _ in 0..naps {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || queue.closed.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(left.min(NAP));
            if let Some(exchange) = queue.pop() {
                return Received::Item(exchange);
            }
        }
        let mut held = queue.lock.lock().unwrap_or_else(PoisonError::into_inner);
        queue.sleepers.fetch_add(1, Ordering::Relaxed);
        let found = loop {
            fence(Ordering::SeqCst);
            // Closed is read first: what was queued before the close is still found.
            let closed = queue.closed.load(Ordering::SeqCst);
            if let Some(exchange) = queue.pop() {
                break Received::Item(exchange);
            }
            if closed {
                break Received::Closed;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Received::Empty;
            }
            held = queue.wake.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        queue.sleepers.fetch_sub(1, Ordering::Relaxed);
        found
    }

    /// Takes nothing more; what is left is still received, then [`Received::Closed`].
    pub fn close(&self) {
        self.queue.close();
    }

    /// Exchanges that wait.
    pub fn depth(&self) -> usize {
        self.queue.items.len()
    }

    /// Bytes that wait: bodies kept, and a constant for each exchange.
    pub fn bytes(&self) -> u64 {
        self.queue.bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
