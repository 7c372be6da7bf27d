//! Waiting for changes in tasks: one thread for each object waits for all of them.
//!
//! It sleeps on the object's word, to which the words of all stripes lead that any task waits for. It looks at what each task has seen
//! last, wakes those for whom something has changed, and ends when no watch is left that a task has waited for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use super::watch::{LONGEST_POLL, PROBE_EACH, USELESS_EACH, Watched, Watcher};
use super::{Shared, Store, group};
use crate::error::{Error, Result};
use crate::locking::BoundedWaits;
use crate::os::futex;
use crate::watch_word::settle;

/// A task that waits, as the thread knows it.
pub(crate) struct Entry {
    waiting: Mutex<Waiting>,
    /// Known without the lock: a child may have been forked while the thread had it.
    store: Arc<Store>,
}

struct Waiting {
    watcher: Watcher,
    /// `None` if the task does not wait now.
    waker: Option<Waker>,
    until: Option<Instant>,
    /// If it is not told of changes before that time.
    rests_until: Option<Instant>,
    /// True if the thread has found a dead writer that cannot be recovered here, or that the object has been replaced: no sequence
    /// tells of these.
    has_died: bool,
    /// True if the thread knows it.
    is_listed: bool,
    /// True if nobody will wait any more.
    has_ended: bool,
}

/// The tasks that wait for changes of an object.
#[derive(Default)]
pub(super) struct Tasks(Mutex<List>);

#[derive(Default)]
struct List {
    entries: Vec<Arc<Entry>>,
    /// True if the thread is there.
    is_served: bool,
    /// True if the thread was woken to see what is new here.
    is_roused: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watcher {
    /// Works like [`wait`](Self::wait), for a task: returns true after a change, false when the time is over.
    /// `entry` is kept from one call to the next. `bounded` is there if the wait has begun in a group on another object, and
    /// counts as long as this thread is in one.
    pub(crate) fn poll(
        &mut self,
        entry: &mut Option<Arc<Entry>>,
        until: Option<Instant>,
        bounded: Option<BoundedWaits>,
        context: &Context<'_>,
    ) -> Poll<Result<bool>> {
        if let Err(error) = self.check() {
            return Poll::Ready(Err(error));
        }
        let is_over = until.is_some_and(|until| until <= Instant::now());
        let bounded = bounded.filter(|_| group::open() > 0 && !is_over);
        // However often it is changed.
        if let Some(Err(error)) = bounded.map(|bounded| bounded.check(&**self.store())) {
            return Poll::Ready(Err(error));
        }
        let rests_until = self.rests_until();
        if rests_until.is_none() && self.look() | entry.as_ref().is_some_and(|entry| entry.tell_death(self)) {
            return Poll::Ready(Ok(true));
        }
        if is_over {
            return Poll::Ready(Ok(false));
        }
        let until = [until, bounded.map(|bounded| bounded.end())].into_iter().flatten().min();
        let (has_died, is_listed, has_ended) = (false, false, false);
        let waiting =
            || Waiting { watcher: self.again(), waker: None, until, rests_until, has_died, is_listed, has_ended };
        let entry = entry
            .get_or_insert_with(|| Arc::new(Entry { waiting: Mutex::new(waiting()), store: self.store().clone() }));
        let is_listed = {
            let mut waiting = lock(&entry.waiting);
            waiting.watcher.seen.clone_from(&self.seen);
            waiting.waker = Some(context.waker().clone());
            (waiting.until, waiting.rests_until) = (until, rests_until);
            std::mem::replace(&mut waiting.is_listed, true)
        };
        if !is_listed && let Err(error) = self.list(entry) {
            lock(&entry.waiting).is_listed = false;
            return Poll::Ready(Err(error));
        }
        if is_listed && (until.is_some() || rests_until.is_some()) {
            rouse(&self.store().shared);
        }
        // The thread may have looked before it knew of this.
        if rests_until.is_none() && self.look() {
            entry.forget();
            return Poll::Ready(Ok(true));
        }
        Poll::Pending
    }

    /// Registers a task with the thread.
    fn list(&self, entry: &Arc<Entry>) -> Result<()> {
        let tasks = &self.store().shared.tasks;
        let mut list = lock(&tasks.0);
        list.entries.push(entry.clone());
        if !list.is_served {
            let whole = Store::of(&self.store().shared, None);
            let serve = move || serve(&whole);
            if let Err(source) = thread::Builder::new().name("netshm watches".to_owned()).spawn(serve) {
                list.entries.pop();
                return Err(Error::Io {
                    object: self.store().name(),
                    doing: "start a thread that waits for changes",
                    source,
                });
            }
            list.is_served = true;
        }
        drop(list);
        rouse(&self.store().shared);
        Ok(())
    }
}

/// Wakes the thread, so that it looks again.
fn rouse(shared: &Arc<Shared>) {
    lock(&shared.tasks.0).is_roused = true;
    let whole = Store::of(shared, None);
    // A reader, which cannot announce itself, looks again soon.
    if !whole.region().object().read_only() {
        let word = whole.object_word();
        word.count_up();
        futex::wake(word.0, u32::MAX >> 1);
    }
}

impl Entry {
    /// Returns whether the thread has found what no sequence shows, since this was asked last.
    fn tell_death(&self, watcher: &mut Watcher) -> bool {
        let mut waiting = lock(&self.waiting);
        let has_died = std::mem::take(&mut waiting.has_died);
        if has_died {
            // What has changed besides is told by the same answer.
            watcher.seen.clone_from(&waiting.watcher.seen);
        }
        has_died
    }

    /// Looks after dead writers of what the task waits for, and whether the object is still there.
    fn probe(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.has_died |= waiting.watcher.probe() || self.store.check_is_there().is_err();
    }

    /// Forgets the task, which waits no more.
    pub(crate) fn forget(&self) {
        if self.store.check_fork().is_ok() {
            let waker = lock(&self.waiting).waker.take();
            drop(waker);
        }
    }

    /// Marks the watch as gone, so that the thread may end.
    pub(crate) fn end(&self) {
        if self.store.check_fork().is_err() {
            return;
        }
        let mut waiting = lock(&self.waiting);
        waiting.has_ended = true;
        let waker = waiting.waker.take();
        let is_listed = waiting.is_listed;
        drop(waiting);
        drop(waker);
        if is_listed {
            rouse(&self.store.shared);
        }
    }

    /// Holds the lock, as the thread does now and then.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> impl Drop {
        lock(&self.waiting)
    }
}

impl List {
    /// Leads the writers of all that is waited for to the object's word.
    fn lead_on(&self, whole: &Store) {
        let (mut stripes, mut object) = (Vec::new(), false);
        for entry in &self.entries {
            let waiting = lock(&entry.waiting);
            match waiting.watcher.watched() {
                Watched::Object => object = true,
                Watched::Stripe(_) | Watched::Member => stripes.push(waiting.watcher.stripes()),
            }
        }
        if object {
            stripes = vec![whole.all_stripes()];
        }
        stripes.sort_unstable_by_key(|stripes| (stripes.start, stripes.end));
        stripes.dedup();
        stripes.into_iter().flatten().for_each(|stripe| whole.watch_word(stripe).lead_on());
    }

    /// Takes out the watches that are gone. Returns the wakers of the tasks that have something to see, and when to look again
    /// at the latest, as far as time is what a task waits for.
    fn take_ready(&mut self) -> (Vec<Waker>, Option<Instant>) {
        let (mut wakers, mut next) = (Vec::new(), None::<Instant>);
        let now = Instant::now();
        self.entries.retain(|entry| {
            let mut waiting = lock(&entry.waiting);
            if waiting.waker.is_some() {
                let is_over = waiting.until.is_some_and(|until| until <= now);
                let rests_until = waiting.rests_until.filter(|end| *end > now);
                if is_over || rests_until.is_none() && (waiting.has_died || waiting.watcher.look()) {
                    wakers.extend(waiting.waker.take());
                } else {
                    next = [next, waiting.until, rests_until].into_iter().flatten().min();
                }
            }
            !waiting.has_ended
        });
        (wakers, next)
    }
}

/// Serves the tasks that wait, until none is left.
fn serve(whole: &Store) {
    let shared = &whole.shared;
    let (word, read_only) = (whole.object_word(), whole.region().object().read_only());
    let (mut woken, mut useless) = (false, None::<Instant>);
    let mut probe_at = Instant::now() + PROBE_EACH;
    loop {
        // However often it is woken: others may go on where a writer has died.
        if probe_at <= Instant::now() {
            let entries = lock(&shared.tasks.0).entries.clone();
            entries.iter().for_each(|entry| entry.probe());
            probe_at = Instant::now() + PROBE_EACH;
        }
        let expected = if read_only { 0 } else { word.announce() };
        let (wakers, next, ends, is_roused) = {
            let mut list = lock(&shared.tasks.0);
            if !read_only {
                settle();
                list.lead_on(whole);
                settle();
            }
            let (wakers, next) = list.take_ready();
            list.is_served = !list.entries.is_empty();
            (wakers, next, !list.is_served, std::mem::take(&mut list.is_roused))
        };
        let has_work = !wakers.is_empty() || is_roused;
        // Code that is not known runs without a lock.
        wakers.into_iter().for_each(Waker::wake);
        if ends {
            return;
        }
        if has_work {
            woken = false;
            continue;
        }
        let next = next.map_or(probe_at, |next| next.min(probe_at));
        let left = next.saturating_duration_since(Instant::now());
        if read_only {
            thread::sleep(left.min(LONGEST_POLL));
            continue;
        }
        if std::mem::take(&mut woken) {
            if let Some(rest) = useless.and_then(|last| (last + USELESS_EACH).checked_duration_since(Instant::now())) {
                thread::sleep(rest.min(left));
            }
            useless = Some(Instant::now());
        }
        woken = futex::wait(word.0, expected, Some(left)) != futex::Wake::TimedOut;
    }
}
