//! `Duration` and `SystemTime`.

use std::time::{Duration, SystemTime};

use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

const NANOS: u64 = 1_000_000_000;

/// Seconds and nanoseconds.
#[diagnostic::do_not_recommend]
impl DataManager for Duration {
    const FIXED: Option<usize> = Some(2);
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(self.as_secs())?;
        out.put(u64::from(self.subsec_nanos()))
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        let seconds = input.get()?;
        match u32::try_from(input.get()?) {
            Ok(nanos) if u64::from(nanos) < NANOS => Ok(Duration::new(seconds, nanos)),
            _ => Err(DataError::new("Duration", "a second or more of nanoseconds")),
        }
    }

    fn schema(types: &mut Types) -> Schema {
        types.structure::<Self>("Duration", |fields| {
            fields.field::<u64>("seconds");
            fields.field::<u32>("nanos");
        })
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for Duration {}

/// Nanoseconds since the start of 1970, UTC, negative before: as a 128-bit number.
#[diagnostic::do_not_recommend]
impl DataManager for SystemTime {
    const FIXED: Option<usize> = Some(2);
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        let nanos = match self.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => after.as_nanos().cast_signed(),
            Err(before) => -before.duration().as_nanos().cast_signed(),
        };
        nanos.encode(out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        const OUT_OF_RANGE: DataError = DataError::new("SystemTime", "a time out of range");
        let nanos = i128::decode(input)?;
        let distance = nanos.unsigned_abs();
        let seconds = u64::try_from(distance / u128::from(NANOS)).map_err(|_| OUT_OF_RANGE)?;
        let distance = Duration::new(seconds, (distance % u128::from(NANOS)) as u32);
        if nanos < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        }
        .ok_or(OUT_OF_RANGE)
    }

    fn schema(types: &mut Types) -> Schema {
        types.structure::<Self>("SystemTime", |fields| fields.field::<i128>("nanos"))
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for SystemTime {}
