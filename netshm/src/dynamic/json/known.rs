//! Types whose JSON differs from that of the parts that they are stored as: `serde` writes addresses, paths and dates as strings,
//! and names the parts of times in its own way.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use serde_json::Value as Json;

use crate::data::{Schema, from_words, to_words};
use crate::dynamic::plan::{Id, Plan};
use crate::dynamic::value::{Struct, Value};

/// Such a type: how it is stored, and how its words become JSON and come from it.
struct Known {
    name: String,
    plan: Plan,
    write: fn(&[u64]) -> Option<Json>,
    read: fn(&Json) -> Option<Vec<u64>>,
}

macro_rules! known {
    ($($(#[$condition:meta])? $type:ty,)*) => {
        fn all() -> Vec<Known> {
            let mut known = Vec::new();
            $($(#[$condition])? {
                let schema = Schema::of::<$type>();
                if let (Schema::Struct(name, _), Ok(plan)) = (&schema, Plan::new(&schema)) {
                    known.push(Known {
                        name: name.clone(),
                        plan,
                        write: |words| serde_json::to_value(from_words::<$type>(words).ok()?).ok(),
                        read: |json| to_words(&serde_json::from_value::<$type>(json.clone()).ok()?).ok(),
                    });
                }
            })*
            known
        }
    };
}

known! {
    Ipv4Addr, Ipv6Addr, IpAddr, SocketAddrV4, SocketAddrV6, SocketAddr,
    PathBuf, OsString,
    Duration, SystemTime,
    #[cfg(feature = "uuid")] uuid::Uuid,
    #[cfg(feature = "chrono")] chrono::NaiveDate,
    #[cfg(feature = "chrono")] chrono::NaiveTime,
    #[cfg(feature = "chrono")] chrono::NaiveDateTime,
    #[cfg(feature = "chrono")] chrono::DateTime<chrono::Utc>,
    #[cfg(feature = "chrono")] chrono::DateTime<chrono::FixedOffset>,
    #[cfg(feature = "chrono")] chrono::TimeDelta,
    #[cfg(feature = "time")] time::Date,
    #[cfg(feature = "time")] time::Time,
    #[cfg(feature = "time")] time::PrimitiveDateTime,
    #[cfg(feature = "time")] time::UtcDateTime,
    #[cfg(feature = "time")] time::OffsetDateTime,
    #[cfg(feature = "time")] time::UtcOffset,
    #[cfg(feature = "time")] time::Duration,
}

fn named(name: &str) -> impl Iterator<Item = &'static Known> {
    static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(all);
    KNOWN.iter().filter(move |known| known.name == name)
}

/// Returns the JSON of a struct that is such a type. Values of it that `serde` refuses, as paths that are no text, have none here.
pub(super) fn write(value: &Struct) -> Option<Json> {
    named(&value.name).find_map(|known| {
        let value = Value::Struct(Box::new(value.clone()));
        let words = known.plan.encode(&value).ok()?;
        // Types of one name differ in the kinds of their parts.
        let is_exact = known.plan.decode(&words).ok()? == value;
        if is_exact { (known.write)(&words) } else { None }
    })
}

/// Makes a value of JSON if the type at `id` of the plan is such a type and the JSON is of its form.
pub(super) fn read(plan: &Plan, id: Id, name: &str, json: &Json) -> Option<Value> {
    let known = named(name).find(|known| known.plan.is_same(known.plan.root(), plan, id))?;
    known.plan.decode(&(known.read)(json)?).ok()
}

/// Returns whether the type at `id` of the plan is such a type.
pub(super) fn is_known(plan: &Plan, id: Id, name: &str) -> bool {
    named(name).any(|known| known.plan.is_same(known.plan.root(), plan, id))
}
