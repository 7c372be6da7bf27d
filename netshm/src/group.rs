//! Groups: several operations that happen completely or not at all.

use std::time::Duration;

use crate::error::Error;
use crate::os::file;

/// The first pause before a group runs again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Errors that may stem from a deadlock, which `group!(retry ..)` asks about.
///
/// Types that wrap an [`Error`] answer with what that one says:
///
/// ```
/// use netshm::{Error, GroupError};
///
/// enum MyError {
///     Store(Error),
///     NotEnough,
/// }
///
/// impl From<Error> for MyError {
///     fn from(error: Error) -> Self {
///         MyError::Store(error)
///     }
/// }
///
/// impl GroupError for MyError {
///     fn is_deadlock(&self) -> bool {
///         matches!(self, MyError::Store(error) if error.is_deadlock())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not tell whether a group ended in a deadlock",
    label = "`group!(retry ..)` has to know it",
    note = "implement `netshm::GroupError` for `{Self}`: `is_deadlock` returns what that of the `netshm::Error` inside does",
    note = "without `retry` a group runs once, and asks for `From<netshm::Error>` only"
)]
pub trait GroupError: From<Error> {
    /// Returns whether the group ended because of a deadlock, or of a wait that may have been part of one, so that running it again
    /// makes sense.
    fn is_deadlock(&self) -> bool;
}

impl GroupError for Error {
    /// Returns true for [`Error::Deadlock`], and for an [`Error::LockTimeout`] whose `may_be_deadlock` is set.
    fn is_deadlock(&self) -> bool {
        matches!(self, Error::Deadlock { .. } | Error::LockTimeout { may_be_deadlock: true, .. })
    }
}

/// Runs `attempt` until it succeeds, or fails with an error that is not `worth` another attempt. The pauses in between grow
/// and are partly random, so that two processes do not run into the same deadlock again and again.
pub(crate) fn retry<R, E>(mut attempt: impl FnMut() -> Result<R, E>, worth: impl Fn(&E) -> bool) -> Result<R, E> {
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt() {
            Err(error) if worth(&error) => {
                // Without random bits the pause is still long enough, most of the time.
                let jitter = file::random().unwrap_or(u64::from(std::process::id()));
                std::thread::sleep(pause.mul_f64((jitter % 1024) as f64 / 1024.0));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// Runs a block as a group on the object behind a [`HashTable`](crate::HashTable), an [`Array`](crate::Array) or a
/// [`Table`](crate::Table): all its operations happen, or none.
///
/// | form | meaning |
/// |---|---|
/// | `group!(tab => { .. })` | the error type is [`Error`](crate::Error) |
/// | `group!(tab: MyError => { .. })` | another error type, with `MyError: From<netshm::Error>` |
/// | `group!(retry tab => { .. })` | runs again after a deadlock |
/// | `group!(retry(9) tab => { .. })` | runs again at most nine times, then returns the deadlock |
/// | `group!(only tab => { .. })` | only operations through `tab` itself belong to the group; also `retry only tab` |
///
/// ```
/// use netshm::{HashTable, Locking, Shm, group};
///
/// let shm = Shm::create_unique("posix:/accounts.XXXXXX", 0o600)?;
/// # let name = shm.name().clone();
/// let accounts: HashTable<String, i64> = HashTable::manage(shm, Locking::Futex)?;
/// accounts.add("alice", &100)?;
/// accounts.add("bob", &20)?;
///
/// let left = group!(retry accounts => {
///     let alice = accounts.find("alice")?.unwrap_or(0) - 30;
///     let bob = accounts.find("bob")?.unwrap_or(0) + 30;
///     accounts.replace("alice", &alice)?;
///     accounts.replace("bob", &bob)?;
///     alice
/// })?;
/// assert_eq!(left, 70);
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
///
/// # How it ends
/// The block is the body of a closure. Its value is the value of `group!`, in an `Ok`. `?` and `return Err(..)` leave the group and
/// roll it back, as does a panic.
///
/// A block that ends in a `Result` does not compile: an `Err` that is merely the block's value would not roll the group back. Write
/// `?` after it, or `return` it. An `Err` inside another value, as in an `Option` or a tuple, or behind the type parameter of a
/// generic function, is a value like any other: the group is committed, and returns it. If `?` meets an error of another type
/// ("`?` couldn't convert the error"), name a type that both kinds become: `group!(tab: MyError => ..)`.
///
/// Groups nest; an inner one that fails undoes its own part. If the process ends inside a group, as by [`std::process::exit`], the
/// group is undone, with what destructors and exit handlers of this thread do on the object meanwhile.
///
/// # What belongs to it
/// Every operation of this thread on the object, through whatever handle: helper functions need not know of the group. So do not
/// wait for a thread pool inside (`join`, `par_iter`): while it waits, this thread may run a task of somebody else, whose operations
/// would then be part of the group and be undone with it. Where that cannot be avoided, write `group!(only tab => ..)`: inside,
/// `tab` (a variable) stands for a handle of the group's own, and only what is done through that belongs to the group; see
/// [`group_with`](crate::HashTable::group_with).
///
/// # Locks
/// The locks taken inside are held until the outermost group ends, so what was read cannot be changed by others before it is
/// written. With [`Locking::Record`](crate::Locking::Record), two groups that read the same key and then both change it wait for
/// each other; one of them gets [`Error::Deadlock`](crate::Error::Deadlock), is rolled back, and should run again, as
/// `group!(retry ..)` does.
///
/// A program that closes descriptors of netshm's in the middle of a group (`close_range`) gives up its locks, so others may undo the
/// group: lookups in it may go on to answer, from what others have changed meanwhile, until its next change or its end fails with
/// [`Error::DescriptorLost`](crate::Error::DescriptorLost).
#[doc(alias = "transaction")]
#[macro_export]
macro_rules! group {
    // What would end in errors of the parser.
    ($table:ident { $($body:tt)* }) => { $crate::__group_arrow!() };
    ($table:ident -> $($rest:tt)*) => { $crate::__group_arrow!() };
    ($table:ident : { $($body:tt)* }) => { $crate::__group_arrow!() };
    (retry, $($rest:tt)*) => { $crate::__group_no_comma!() };
    (retry ($retries:expr), $($rest:tt)*) => { $crate::__group_no_comma!() };
    (only, $($rest:tt)*) => { $crate::__group_no_comma!() };
    (only $first:ident . $($rest:tt)*) => { $crate::__group_only_variable!() };
    (retry only $first:ident . $($rest:tt)*) => { $crate::__group_only_variable!() };
    (retry retry $($rest:tt)*) => {
        ::core::compile_error!("`retry` is given twice; a limit is written `group!(retry(n) tab => { .. })`")
    };
    (only retry $($rest:tt)*) => {
        ::core::compile_error!("`retry` comes first: `group!(retry only tab => { .. })`")
    };

    (only $table:ident : $error:ty => $body:expr) => {
        $crate::__group_of!($error, ended => $table.group_with($crate::__group_body_of!($table, ended, $body)))
    };
    (only $table:ident => $body:expr) => {
        $table.group_with($crate::__group_body_of!($table, $crate::Error, $body))
    };
    (retry only $table:ident : $error:ty => $body:expr) => {
        $crate::__group_of!($error, ended => $table.group_with_retry($crate::__group_body_of!($table, ended, $body)))
    };
    (retry only $table:ident => $body:expr) => {
        $table.group_with_retry($crate::__group_body_of!($table, $crate::Error, $body))
    };
    (retry ($retries:expr) $first:ident $(. $rest:tt)* : $error:ty => $body:expr) => {
        $crate::__group_of!(
            $error,
            ended => $first $(. $rest)*.group_retry_at_most($retries, $crate::__group_body!(ended, $body))
        )
    };
    (retry ($retries:expr) $table:expr => $body:expr) => {
        $table.group_retry_at_most($retries, $crate::__group_body!($crate::Error, $body))
    };
    (retry $first:ident $(. $rest:tt)* : $error:ty => $body:expr) => {
        $crate::__group_of!($error, ended => $first $(. $rest)*.group_retry($crate::__group_body!(ended, $body)))
    };
    (retry $table:expr => $body:expr) => {
        $table.group_retry($crate::__group_body!($crate::Error, $body))
    };
    ($first:ident $(. $rest:tt)* : $error:ty => $body:expr) => {
        $crate::__group_of!($error, ended => $first $(. $rest)*.group($crate::__group_body!(ended, $body)))
    };
    ($table:expr => $body:expr) => {
        $table.group($crate::__group_body!($crate::Error, $body))
    };

    ($table:expr, $other:expr => $($rest:tt)*) => {
        ::core::compile_error!(
            "a group is one step on one object; for two, nest them: `group!(one => { group!(other => { .. })? })`, where each \
             commits by itself"
        )
    };
    ($table:expr, $($rest:tt)*) => { $crate::__group_arrow!() };
    ($table:expr =>) => { ::core::compile_error!("the block of the group is missing: `group!(tab => { .. })`") };
    ($table:expr => $body:expr, $($rest:tt)*) => {
        ::core::compile_error!("a group has one block, and nothing after it: `group!(tab => { .. })`")
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "a group is written `group!(tab => { .. })`, `group!(tab: MyError => { .. })`, `group!(retry tab => { .. })`, \
             `group!(retry(n) tab => { .. })` or `group!(only tab => { .. })`"
        )
    };
}

/// A group with an error type of the user's, which is asked for `From<Error>` once, where it is written. `$ended` is a name for
/// what stands for the type in the group: `$group` and its body do not mention it themselves, so that a type that lacks it is not
/// reported for each `?` as well.
#[doc(hidden)]
#[macro_export]
macro_rules! __group_of {
    ($error:ty, $ended:ident => $group:expr) => {{
        #[allow(unused_imports)]
        use $crate::__private::NotGroupEnd as _;
        let $ended = $crate::__private::group_end::<$error>();
        $ended.with($group)
    }};
}

/// The closure that a group runs. The error is a name, as in `__group_of`, or a type.
#[doc(hidden)]
#[macro_export]
macro_rules! __group_body {
    ($ended:ident, $body:expr) => {
        // The block may end in `return`.
        #[allow(unreachable_code, unused_braces)]
        || -> ::core::result::Result<_, _> {
            if false {
                return $ended.never();
            }
            ::core::result::Result::Ok($crate::__private::group_value($body))
        }
    };
    ($error:ty, $body:expr) => {
        #[allow(unreachable_code, unused_braces)]
        || -> ::core::result::Result<_, $error> { ::core::result::Result::Ok($crate::__private::group_value($body)) }
    };
}

/// The closure that a group runs to which only operations through its argument belong. That has the name of the table.
#[doc(hidden)]
#[macro_export]
macro_rules! __group_body_of {
    ($table:ident, $ended:ident, $body:expr) => {
        #[allow(unreachable_code, unused_braces)]
        |$table: &_| -> ::core::result::Result<_, _> {
            if false {
                return $ended.never();
            }
            ::core::result::Result::Ok($crate::__private::group_value($body))
        }
    };
    ($table:ident, $error:ty, $body:expr) => {
        #[allow(unreachable_code, unused_braces)]
        |$table: &_| -> ::core::result::Result<_, $error> {
            ::core::result::Result::Ok($crate::__private::group_value($body))
        }
    };
}

/// The message for a field behind `only`.
#[doc(hidden)]
#[macro_export]
macro_rules! __group_only_variable {
    () => {
        ::core::compile_error!(
            "behind `only` stands a variable, which has the group's own handle inside: `let tab = &app.tab;`, then \
             `group!(only tab => { .. })`"
        )
    };
}

/// The message for a comma behind `retry` or `only`.
#[doc(hidden)]
#[macro_export]
macro_rules! __group_no_comma {
    () => {
        ::core::compile_error!("no comma stands before the table: `group!(retry tab => { .. })`")
    };
}

/// The message for a group without its arrow.
#[doc(hidden)]
#[macro_export]
macro_rules! __group_arrow {
    () => {
        ::core::compile_error!("an arrow stands between the table and the block: `group!(tab => { .. })`")
    };
}
