//! Damages an object and uses it: every verb must end in a value or an error, in bounded time and memory. What the bytes of an
//! input say is told in `netshm_tests::damaged`.
#![no_main]

use std::cell::RefCell;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use netshm_tests::damaged::{Damaged, sleep_exactly};

/// A run takes a third of a millisecond; nothing in it waits for others.
const TOO_LONG: Duration = Duration::from_secs(1);

thread_local! {
    static DAMAGED: RefCell<Damaged> = RefCell::new({
        sleep_exactly();
        Damaged::new()
    });
}

fuzz_target!(|input: &[u8]| {
    DAMAGED.with_borrow_mut(|damaged| {
        let began = Instant::now();
        damaged.run(input);
        assert!(began.elapsed() < TOO_LONG, "it takes {:?}", began.elapsed());
    });
});
