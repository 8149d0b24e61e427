//! One coarse clock per worker: timeouts that cost a slot in a table instead of a timer of their own.
//!
//! A request sets three deadlines and nearly never reaches one. So each worker ticks every [`TICK`], looks through its
//! open sleeps and connections, and wakes what is due. A deadline is met at the earliest when it says, at the latest
//! two ticks later.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How often a worker looks at its deadlines.
pub(super) const TICK: Duration = Duration::from_millis(50);

thread_local! {
    static CLOCK: Clock = Clock { now: Cell::new(Instant::now()), sleeps: RefCell::new(Slots::default()) };
}

struct Clock {
    now: Cell<Instant>,
    sleeps: RefCell<Slots>,
}

#[derive(Default)]
struct Slots {
    entries: Vec<Option<(Instant, Waker)>>,
    free: Vec<usize>,
}

/// The worker's time, at most one tick old.
pub(super) fn now() -> Instant {
    CLOCK.with(|clock| clock.now.get())
}

/// When something that may take `limit` from now is overdue.
pub(super) fn deadline(limit: Duration) -> Instant {
    now() + limit + TICK
}

/// Moves the worker's time on and wakes the sleeps that are due.
pub(super) fn tick() -> Instant {
    let now = Instant::now();
    let due: Vec<Waker> = CLOCK.with(|clock| {
        clock.now.set(now);
        let mut slots = clock.sleeps.borrow_mut();
        slots.entries.iter_mut().flatten().filter(|(at, _)| *at <= now).map(|(_, waker)| waker.clone()).collect()
    });
    // Outside the borrow: a waker may run code that sleeps.
    for waker in due {
        waker.wake();
    }
    now
}

/// A timeout that is armed when it is first waited for, and forgotten when it is dropped.
pub(super) struct Sleep {
    limit: Duration,
    armed: Option<(Instant, usize)>,
}

impl Sleep {
    pub(super) fn new(limit: Duration) -> Sleep {
        Sleep { limit, armed: None }
    }

    /// Starts over: the next wait gets the whole limit again.
    pub(super) fn reset(&mut self) {
        if let Some((_, slot)) = self.armed.take() {
            free(slot);
        }
    }

    /// Ready once the limit has passed since the first wait.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((at, slot)) = self.armed else {
            let at = deadline(self.limit);
            self.armed = Some((at, claim(at, cx.waker().clone())));
            return Poll::Pending;
        };
        if now() >= at {
            self.reset();
            return Poll::Ready(());
        }
        CLOCK.with(|clock| {
            if let Some(Some((_, waker))) = clock.sleeps.borrow_mut().entries.get_mut(slot) {
                waker.clone_from(cx.waker());
            }
        });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.reset();
    }
}

fn claim(at: Instant, waker: Waker) -> usize {
    CLOCK.with(|clock| {
        let mut slots = clock.sleeps.borrow_mut();
        if let Some(slot) = slots.free.pop() {
            slots.entries[slot] = Some((at, waker));
            return slot;
        }
        slots.entries.push(Some((at, waker)));
        slots.entries.len() - 1
    })
}

fn free(slot: usize) {
    // A worker that ends drops its tasks when its clock may be gone already.
    let _gone = CLOCK.try_with(|clock| {
        let mut slots = clock.sleeps.borrow_mut();
        slots.entries[slot] = None;
        slots.free.push(slot);
    });
}

/// Waits for `future`, or gives up with `Err` once `sleep` is due.
pub(super) async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = std::pin::pin!(future);
    let mut sleep = Sleep::new(limit);
    std::future::poll_fn(|cx: &mut Context<'_>| {
        let polled: Pin<&mut F> = future.as_mut();
        if let Poll::Ready(output) = polled.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        sleep.poll(cx).map(|()| Err(Elapsed))
    })
    .await
}

/// The time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Elapsed;
