use netshm::ShmData;

mod seconds {
    use std::time::Duration;

    use netshm::data::{DataError, Decoder, Encoder, Schema, Types};

    pub fn encode(value: Duration, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(value.as_secs())
    }

    pub fn decode(input: &mut Decoder<'_>) -> Result<Duration, DataError> {
        input.get().map(Duration::from_secs)
    }

    pub fn schema(types: &mut Types) -> Schema {
        types.of::<u64>()
    }
}

#[derive(ShmData)]
struct Session {
    #[shm(with = seconds)]
    started: std::time::Duration,
}

struct Version;

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("1.0")
    }
}

#[derive(ShmData)]
struct Package {
    #[shm(with = netshm::with::display)]
    version: Version,
}

fn main() {}
