//! Waiting for changes in tasks.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_core::Stream;
use netshm::dynamic::{DynArray, DynTable, Value};
use netshm::{Array, Error, HashTable, Locking, Shm, ShmSchema, Table, group};
use netshm_tests::Scratch;

type Numbers = HashTable<u64, u64>;

const LONG: Duration = Duration::from_secs(60);

/// Runs a future on a runtime of this thread; fails if it takes so long that it must be waiting for ever.
fn run<R>(work: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LONG, work).await.expect("it waits for ever") })
}

fn numbers(scratch: &Scratch, locking: Locking) -> Numbers {
    HashTable::manage(scratch.open(), locking).unwrap()
}

/// Threads of this process that wait for tasks, those of other tests among them.
fn threads() -> usize {
    let names = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|task| {
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok().filter(|name| name.starts_with("netshm watches"))
    });
    names.count()
}

#[test]
fn a_task_is_woken_by_each_change() {
    for locking in [Locking::None, Locking::Record, Locking::Futex] {
        let scratch = Scratch::posix("async-watch");
        let table = numbers(&scratch, locking);
        let mut watch = table.watch().unwrap();
        run(async {
            for turn in 0..100 {
                let writer = numbers(&scratch, locking);
                let thread = std::thread::spawn(move || writer.replace(&1, &turn));
                watch.changed_async().await.unwrap();
                thread.join().unwrap().unwrap();
                let found = table.wait_until_async(&1, None, |found| found == Some(&turn)).await.unwrap();
                assert_eq!(found, Some(turn));
            }
        });
    }
}

#[test]
fn many_watches_have_one_thread() {
    let scratch = Scratch::posix("async-many");
    let table = numbers(&scratch, Locking::Futex);
    const TASKS: u64 = 10_000;
    run(async {
        let tasks = tokio::task::LocalSet::new();
        tasks
            .run_until(async {
                let waiting: Vec<_> = (0..TASKS)
                    .map(|key| {
                        let table = table.clone();
                        tokio::task::spawn_local(async move {
                            table.wait_until_async(&key, None, |found| found.is_some()).await
                        })
                    })
                    .collect();
                tokio::task::yield_now().await;
                assert!(threads() < 20);
                let writer = table.clone();
                let thread = std::thread::spawn(move || (0..TASKS).try_for_each(|key| writer.add(&key, &key)));
                for (key, task) in (0..).zip(waiting) {
                    assert_eq!(task.await.unwrap().unwrap(), Some(key));
                }
                thread.join().unwrap().unwrap();
            })
            .await;
    });
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    fn until(&self, count: usize) {
        let start = std::time::Instant::now();
        while self.0.load(Ordering::SeqCst) < count {
            assert!(start.elapsed() < LONG, "the task is not woken");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn what_is_dropped_loses_no_change() {
    let scratch = Scratch::posix("async-cancel");
    let table = numbers(&scratch, Locking::Futex);
    let mut watch = table.watch().unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut context = Context::from_waker(&waker);
    for round in 0..20 {
        {
            let mut waiting = pin!(watch.changed_async());
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            if round % 2 == 0 {
                table.replace(&1, &round).unwrap();
                wakes.until(round as usize / 2 + 1);
            }
        }
        if round % 2 == 1 {
            // Nobody waits any more.
            table.replace(&1, &round).unwrap();
        }
        assert!(matches!(pin!(watch.changed_async()).poll(&mut context), Poll::Ready(Ok(()))), "round {round}");
    }
    assert_eq!(wakes.0.load(Ordering::SeqCst), 10, "who waits no more is not woken");
}

#[test]
fn changes_are_a_stream() {
    let scratch = Scratch::posix("async-stream");
    let array: Array<u64> = Array::manage(scratch.open(), 0, Locking::Futex).unwrap();
    array.resize(10).unwrap();
    let mut watch = array.watch_element(3).unwrap();
    run(async {
        for turn in 1..20 {
            array.set(3, &turn).unwrap();
            let change = std::future::poll_fn(|context| Pin::new(&mut watch).poll_next(context)).await;
            assert!(matches!(change, Some(Ok(()))));
        }
        let element = array.wait_until_async(3, None, |element| *element == 19).await.unwrap();
        assert_eq!(element, 19);
    });
}

/// Tables, arrays, members, whole objects and those of schemas, by types and by stored schemas.
#[test]
fn everything_is_waited_for_in_tasks() {
    #[derive(ShmSchema)]
    #[shm(object = "/async-all", locking = Locking::Futex)]
    struct App {
        numbers: HashTable<u64, u64>,
        raw: Table,
        #[shm(len = 4, default = 0)]
        array: Array<u64>,
    }

    let scratch = Scratch::posix("async-all");
    let app = App::at(scratch.name().to_string()).open_or_create().unwrap();
    let object = || Shm::open(scratch.name()).unwrap();
    let numbers = DynTable::open_member(object(), "numbers").unwrap();
    let array = DynArray::open_member(object(), "array").unwrap();
    let watches = [
        app.watch(),
        object().watch(),
        app.numbers.watch(),
        app.numbers.watch_key(&1),
        app.raw.watch(),
        app.raw.watch_key(1),
        app.array.watch(),
        app.array.watch_element(1),
        numbers.watch(),
        numbers.watch_key(&Value::from(1u64)),
        array.watch(),
        array.watch_element(1),
    ];
    run(async {
        let tasks = watches.map(|watch| {
            tokio::spawn(async move {
                let mut watch = watch.unwrap();
                watch.changed_async().await?;
                // As a stream as well.
                let another = tokio::time::timeout(
                    Duration::from_millis(1),
                    std::future::poll_fn(|context| Pin::new(&mut watch).poll_next(context)),
                );
                drop(another.await);
                Ok::<(), Error>(())
            })
        });
        tokio::task::yield_now().await;
        let writer = App::at(scratch.name().to_string()).open().unwrap();
        let thread = std::thread::spawn(move || {
            group!(writer => {
                writer.numbers.add(&1, &7)?;
                writer.raw.add(1, &[7, 7])?;
                writer.array.set(1, &7)?;
            })
        });
        for (number, task) in tasks.into_iter().enumerate() {
            task.await.unwrap().unwrap_or_else(|error| panic!("watch {number}: {error}"));
        }
        let seven = Value::from(7u64);
        assert_eq!(app.numbers.wait_until_async(&1, None, |found| found == Some(&7)).await.unwrap(), Some(7));
        let raw = app.raw.wait_until_async(1, None, |found| found == Some(&[7, 7])).await.unwrap();
        assert_eq!(raw, Some(vec![7, 7]));
        assert_eq!(app.array.wait_until_async(1, None, |element| *element == 7).await.unwrap(), 7);
        let found = numbers.wait_until_async(&Value::from(1u64), None, |found| found == Some(&seven)).await.unwrap();
        assert_eq!(found, Some(seven.clone()));
        assert_eq!(array.wait_until_async(1, None, |element| *element == seven).await.unwrap(), seven);
        thread.join().unwrap().unwrap();
    });
    // Those that are not satisfied, and those that nobody can be.
    run(async {
        let short = Some(Duration::from_millis(5));
        let waited = app.raw.wait_until_async(2, short, |found| found.is_some()).await;
        assert!(matches!(waited, Err(Error::WaitTimeout { .. })), "{waited:?}");
        let waited = array.wait_until_async(2, short, |element| *element == Value::from(1u64)).await;
        assert!(matches!(waited, Err(Error::WaitTimeout { .. })), "{waited:?}");
        let waited = numbers.wait_until_async(&Value::from("no number"), None, |_| true).await;
        assert!(matches!(waited, Err(Error::Unfit { .. })), "{waited:?}");
    });
}

/// Each look is followed by a change: the time ends the wait all the same, and other tasks of the thread go on meanwhile.
#[test]
fn changes_make_no_wait_longer() {
    let scratch = Scratch::posix("async-changes");
    let table = numbers(&scratch, Locking::Futex);
    let turns = std::cell::Cell::new(0);
    run(async {
        for (millis, most) in [(0, 1), (20, 23)] {
            let mut looks = 0;
            let waited = table.wait_until_async(&1, Some(Duration::from_millis(millis)), |_| {
                looks += 1;
                assert!(looks <= most, "{millis} ms: {looks} looks");
                table.replace(&1, &looks).unwrap();
                false
            });
            let waited = waited.await;
            assert!(matches!(waited, Err(Error::WaitTimeout { .. })), "{waited:?}");
        }
        let others = async {
            loop {
                turns.set(turns.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        let mut looks = 0;
        let waits = table.wait_until_async(&1, None, |_| {
            looks += 1;
            table.replace(&1, &looks).unwrap();
            looks == 20
        });
        tokio::select! {
            biased;
            waited = waits => assert_eq!(waited.unwrap(), Some(19)),
            () = others => unreachable!(),
        }
    });
    assert!(turns.get() > 0, "others had no turn");
}

/// In a group on another object, for which others may be waiting, each wait ends in a second and a half, whatever is changed meanwhile.
#[test]
fn waits_are_bounded_in_groups_on_other_objects() {
    let (scratch, beside) = (Scratch::posix("async-bounded"), Scratch::posix("async-beside"));
    let (table, other) = (numbers(&scratch, Locking::Futex), numbers(&beside, Locking::Futex));
    let mut watch = table.watch_key(&1).unwrap();
    // In another stripe.
    let changed = (2..).find(|key| {
        table.replace(key, &0).unwrap();
        !watch.changed(Some(Duration::ZERO)).unwrap()
    });
    let changed = changed.unwrap();
    let change = |value: Option<&u64>| {
        table.replace(&changed, &(value.unwrap_or(&0) + 1)).unwrap();
        false
    };
    let waits: [Box<dyn FnOnce() -> netshm::Result<()> + Send>; 5] = [
        Box::new(|| run(table.watch_key(&1)?.changed_async())),
        Box::new(|| run(table.wait_until_async(&1, None, |found| found.is_some())).map(drop)),
        Box::new(|| run(std::future::poll_fn(|context| Pin::new(&mut watch).poll_next(context))).unwrap()),
        Box::new(|| run(table.wait_until_async(&changed, None, change)).map(drop)),
        Box::new(|| table.wait_until(&changed, None, change).map(drop)),
    ];
    std::thread::scope(|scope| {
        for wait in waits {
            scope.spawn(|| {
                let waited = other.group(wait);
                assert!(matches!(waited, Err(Error::LockTimeout { may_be_deadlock: true, .. })), "{waited:?}");
            });
        }
    });
    // A wait that has begun there goes on where no group is open.
    let mut waits = pin!(table.wait_until_async(&1, None, |found| found.is_some()));
    let mut context = Context::from_waker(Waker::noop());
    group!(other => assert!(waits.as_mut().poll(&mut context).is_pending())).unwrap();
    std::thread::sleep(Duration::from_millis(1600));
    assert!(waits.as_mut().poll(&mut context).is_pending());
}

#[test]
fn waiting_ends_in_errors() {
    let scratch = Scratch::posix("async-errors");
    let table = numbers(&scratch, Locking::Futex);
    run(async {
        let waited = table.wait_until_async(&1, Some(Duration::from_millis(5)), |found| found.is_some()).await;
        assert!(matches!(waited, Err(Error::WaitTimeout { .. })), "{waited:?}");
    });
    let mut watch = table.watch().unwrap();
    group!(table => {
        let waited = run(watch.changed_async());
        assert!(matches!(waited, Err(Error::InGroup { .. })), "{waited:?}");
    })
    .unwrap();
    // Through a read-only handle too.
    let reader = Shm::options().read_only(true).open(scratch.name()).unwrap();
    let reader: Numbers = HashTable::manage(reader, Locking::Futex).unwrap();
    run(async {
        let waited = reader.wait_until_async(&1, Some(Duration::from_millis(5)), |found| found.is_some()).await;
        assert!(matches!(waited, Err(Error::WaitTimeout { .. })), "{waited:?}");
        let writer = table.clone();
        let thread = std::thread::spawn(move || writer.add(&1, &7));
        assert_eq!(reader.wait_until_async(&1, None, |found| found.is_some()).await.unwrap(), Some(7));
        thread.join().unwrap().unwrap();
    });
}

/// The thread ends with the last watch, and the object can be closed then.
#[test]
fn the_thread_ends_with_the_watches() {
    let scratch = Scratch::posix("async-end");
    let table = numbers(&scratch, Locking::Futex);
    let mut watch = table.watch().unwrap();
    let waker = Waker::from(Arc::new(Wakes::default()));
    assert!(pin!(watch.changed_async()).poll(&mut Context::from_waker(&waker)).is_pending());
    drop((watch, table));
    let start = std::time::Instant::now();
    loop {
        match Numbers::options().recreate(true).stripes(1).manage(scratch.open()) {
            Ok(table) => return assert_eq!(table.len().unwrap(), 0),
            Err(error) => assert!(matches!(error, Error::InUse { .. }), "{error}"),
        }
        assert!(start.elapsed() < LONG, "the thread goes on");
        std::thread::sleep(Duration::from_millis(1));
    }
}
