//! Dates and times of the crate time.

use ::time::{Date, Duration, OffsetDateTime, PrimitiveDateTime, Time, UtcDateTime, UtcOffset};

use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

const NANOS: u64 = 1_000_000_000;

/// Stored as a struct of parts, with conversions in both directions.
macro_rules! parts {
    ($($type:ident { $($part:ident: $stored:ty = $get:expr),* }, $words:literal, |$value:ident| => $new:expr;)*) => { $(
        #[diagnostic::do_not_recommend]
        impl DataManager for $type {
            const FIXED: Option<usize> = Some($words);
            const DIRECT: bool = true;
            const KNOWN: bool = true;

            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                let $value = self;
                $(<$stored as DataManager>::encode(&$get, out)?;)*
                Ok(())
            }

            #[inline]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                $(let $part = <$stored>::decode(input)?;)*
                $new.ok_or(DataError::new(stringify!($type), "out of range"))
            }

            fn schema(types: &mut Types) -> Schema {
                types.structure::<Self>(stringify!($type), |fields| {
                    $(fields.field::<$stored>(stringify!($part));)*
                })
            }
        }
    )* };
}

parts! {
    Date { julian_day: i32 = value.to_julian_day() }, 1, |value| => Date::from_julian_day(julian_day).ok();
    // Since midnight.
    Time { nanos: u64 = nanos_of_day(*value) }, 1, |value| => time_of_day(nanos);
    PrimitiveDateTime { date: Date = value.date(), time: Time = value.time() }, 2,
        |value| => Some(PrimitiveDateTime::new(date, time));
    UtcDateTime { date: Date = value.date(), time: Time = value.time() }, 2,
        |value| => Some(UtcDateTime::new(date, time));
    UtcOffset { seconds_east: i32 = value.whole_seconds() }, 1,
        |value| => UtcOffset::from_whole_seconds(seconds_east).ok();
    // No key: times of different offsets can be equal. The date and time are those at the offset.
    OffsetDateTime { date: Date = value.date(), time: Time = value.time(), offset: UtcOffset = value.offset() }, 3,
        |value| => Some(PrimitiveDateTime::new(date, time).assume_offset(offset));
    // Both have the sign of the duration.
    Duration { seconds: i64 = value.whole_seconds(), nanos: i32 = value.subsec_nanoseconds() }, 2,
        |value| => duration(seconds, nanos);
}

#[diagnostic::do_not_recommend]
impl ShmKey for Date {}
#[diagnostic::do_not_recommend]
impl ShmKey for Time {}
#[diagnostic::do_not_recommend]
impl ShmKey for PrimitiveDateTime {}
#[diagnostic::do_not_recommend]
impl ShmKey for UtcDateTime {}
#[diagnostic::do_not_recommend]
impl ShmKey for UtcOffset {}
#[diagnostic::do_not_recommend]
impl ShmKey for Duration {}

fn nanos_of_day(time: Time) -> u64 {
    let (hour, minute, second, nano) = time.as_hms_nano();
    let minutes = u64::from(hour) * 60 + u64::from(minute);
    (minutes * 60 + u64::from(second)) * NANOS + u64::from(nano)
}

fn time_of_day(nanos: u64) -> Option<Time> {
    let seconds = nanos / NANOS;
    let hour = u8::try_from(seconds / 3600).ok()?;
    Time::from_hms_nano(hour, (seconds / 60 % 60) as u8, (seconds % 60) as u8, (nanos % NANOS) as u32).ok()
}

fn duration(seconds: i64, nanos: i32) -> Option<Duration> {
    let one_sign = seconds.signum() * i64::from(nanos.signum()) >= 0;
    (one_sign && u64::from(nanos.unsigned_abs()) < NANOS).then(|| Duration::new(seconds, nanos))
}
