//! Every attribute at once.

use std::time::Duration;

use netshm::data::{DataError, Decoder, Encoder, Schema, Types};
use netshm::{ShmData, ShmKey};

struct Seconds;

impl Seconds {
    fn encode(value: &Duration, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(value.as_secs())
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Duration, DataError> {
        input.get().map(Duration::from_secs)
    }

    fn schema(types: &mut Types) -> Schema {
        types.of::<u64>()
    }
}

#[derive(ShmData)]
#[shm(rename = "row", crate = netshm, bound = "T: netshm::ShmData")]
struct Row<T> {
    #[shm(rename = "value")]
    content: T,
    #[shm(with = Seconds)]
    started: Duration,
    #[shm(as = u32)]
    letter: char,
    #[shm(shared)]
    shared: std::sync::Arc<T>,
    #[shm(skip, default = 7)]
    cached: u64,
    #[shm(default)]
    hits: u32,
    #[shm(default = "nobody".to_owned())]
    owner: String,
}

#[derive(ShmData, ShmKey, PartialEq, Eq)]
enum Key {
    #[shm(index = 5, rename = "five")]
    Five,
    Named(String),
}

fn main() {
    let _ = (Schema::of::<Row<u8>>(), Schema::of::<Key>());
}
