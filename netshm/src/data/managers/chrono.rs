//! Dates and times of the crate chrono.

use ::chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};

use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

const NANOS: i32 = 1_000_000_000;

/// The number of the day; 1 January of the year 1 is day 1.
#[diagnostic::do_not_recommend]
impl DataManager for NaiveDate {
    const FIXED: Option<usize> = Some(1);
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        self.num_days_from_ce().encode(out)
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        NaiveDate::from_num_days_from_ce_opt(i32::decode(input)?)
            .ok_or(DataError::new("NaiveDate", "a day out of range"))
    }

    fn schema(types: &mut Types) -> Schema {
        types.structure::<Self>("NaiveDate", |fields| fields.field::<i32>("day"))
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for NaiveDate {}

/// Seconds since midnight and nanoseconds, which are a second or more in a leap second.
#[diagnostic::do_not_recommend]
impl DataManager for NaiveTime {
    const FIXED: Option<usize> = Some(2);
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(u64::from(self.num_seconds_from_midnight()))?;
        out.put(u64::from(self.nanosecond()))
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        let seconds = u32::decode(input)?;
        let nanos = u32::decode(input)?;
        // chrono makes leap seconds only at the end of a minute, but an offset of less than a minute moves them.
        let minute = seconds - seconds % 60;
        match nanos {
            ..1_000_000_000 => NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos),
            _ => NaiveTime::from_num_seconds_from_midnight_opt(minute.saturating_add(59), nanos)
                .and_then(|time| time.with_second(seconds - minute)),
        }
        .ok_or(DataError::new("NaiveTime", "a time that no day has"))
    }

    fn schema(types: &mut Types) -> Schema {
        types.structure::<Self>("NaiveTime", |fields| {
            fields.field::<u32>("seconds");
            fields.field::<u32>("nanos");
        })
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for NaiveTime {}

/// The date and the time.
#[diagnostic::do_not_recommend]
impl DataManager for NaiveDateTime {
    const FIXED: Option<usize> = Some(3);
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        self.date().encode(out)?;
        self.time().encode(out)
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        let date = NaiveDate::decode(input)?;
        Ok(NaiveDateTime::new(date, NaiveTime::decode(input)?))
    }

    fn schema(types: &mut Types) -> Schema {
        types.structure::<Self>("NaiveDateTime", |fields| {
            fields.field::<NaiveDate>("date");
            fields.field::<NaiveTime>("time");
        })
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for NaiveDateTime {}

/// Date and time in UTC.
#[diagnostic::do_not_recommend]
impl DataManager for DateTime<Utc> {
    const FIXED: Option<usize> = NaiveDateTime::FIXED;
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        self.naive_utc().encode(out)
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        NaiveDateTime::decode(input).map(|utc| utc.and_utc())
    }

    fn schema(types: &mut Types) -> Schema {
        types.structure::<Self>("DateTime", |fields| fields.field::<NaiveDateTime>("utc"))
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for DateTime<Utc> {}

/// Seconds east of Greenwich.
#[diagnostic::do_not_recommend]
impl DataManager for FixedOffset {
    const FIXED: Option<usize> = Some(1);
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        self.local_minus_utc().encode(out)
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        FixedOffset::east_opt(i32::decode(input)?).ok_or(DataError::new("FixedOffset", "a day or more"))
    }

    fn schema(types: &mut Types) -> Schema {
        types.structure::<Self>("FixedOffset", |fields| fields.field::<i32>("seconds_east"))
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for FixedOffset {}

/// Date and time in UTC, and the offset. No key: times of different offsets can be equal.
#[diagnostic::do_not_recommend]
impl DataManager for DateTime<FixedOffset> {
    const FIXED: Option<usize> = Some(4);
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        self.naive_utc().encode(out)?;
        self.offset().encode(out)
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        let utc = NaiveDateTime::decode(input)?;
        Ok(DateTime::from_naive_utc_and_offset(utc, FixedOffset::decode(input)?))
    }

    fn schema(types: &mut Types) -> Schema {
        types.structure::<Self>("DateTime", |fields| {
            fields.field::<NaiveDateTime>("utc");
            fields.field::<FixedOffset>("offset");
        })
    }
}

/// Seconds, rounded down, and the nanoseconds after them.
#[diagnostic::do_not_recommend]
impl DataManager for TimeDelta {
    const FIXED: Option<usize> = Some(2);
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        let (seconds, nanos) = match self.subsec_nanos() {
            nanos @ 0.. => (self.num_seconds(), nanos),
            nanos => (self.num_seconds() - 1, nanos + NANOS),
        };
        seconds.encode(out)?;
        nanos.encode(out)
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        let seconds = i64::decode(input)?;
        TimeDelta::new(seconds, u32::decode(input)?).ok_or(DataError::new("TimeDelta", "a duration out of range"))
    }

    fn schema(types: &mut Types) -> Schema {
        types.structure::<Self>("TimeDelta", |fields| {
            fields.field::<i64>("seconds");
            fields.field::<u32>("nanos");
        })
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for TimeDelta {}
