//! Types of other crates: as fields of a program's own types, in tables, through `dynamic` and as JSON.

use compact_str::CompactString;
use half::f16;
use netshm::data::{ObjectSchema, Serde, SerdeCbor, SerdeJson, from_words, to_words};
use netshm::dynamic::{DynTable, Value};
use netshm::{HashTable, ShmData};
use netshm_tests::Scratch;
use rust_decimal::Decimal;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use serde_json::json;
use smol_str::SmolStr;
use uuid::Uuid;

#[derive(ShmData, Debug, PartialEq, Clone)]
struct Release {
    id: Uuid,
    package: SmolStr,
    #[shm(as = String)]
    author: CompactString,
    #[shm(with = netshm::with::display)]
    version: Version,
    #[shm(with = netshm::with::display)]
    price: Decimal,
    #[shm(with = netshm::with::display)]
    score: f16,
    at: chrono::NaiveDate,
    until: Option<time::Date>,
    #[shm(default = VersionReq::STAR, with = netshm::with::display)]
    needs: VersionReq,
    #[shm(default, with = netshm::with::json)]
    history: Vec<(Version, Decimal)>,
}

fn release() -> Release {
    Release {
        id: Uuid::from_u128(7),
        package: "netshm".into(),
        author: "ada".into(),
        version: "1.2.3-rc.1+build.5".parse().unwrap(),
        price: "-79228162514264337593543950335".parse().unwrap(),
        score: f16::from_f32(0.1),
        at: "2026-11-26".parse().unwrap(),
        until: None,
        needs: ">=1.88, <2".parse().unwrap(),
        history: vec![("1.0.0".parse().unwrap(), "9.90".parse().unwrap())],
    }
}

#[test]
fn fields_in_tables_and_as_json() {
    let object = Scratch::posix("crates");
    let typed: HashTable<u8, Release> = HashTable::options().manage(object.open()).unwrap();
    typed.add(&1, &release()).unwrap();
    assert_eq!(typed.find(&1).unwrap(), Some(release()));

    let table = DynTable::open(object.open()).unwrap();
    let json = table.find(&Value::from(1)).unwrap().unwrap().to_json();
    let expected = json!({
        "id": "00000000-0000-0000-0000-000000000007",
        "package": "netshm",
        "author": "ada",
        "version": "1.2.3-rc.1+build.5",
        "price": "-79228162514264337593543950335",
        "score": release().score.to_string(),
        "at": "2026-11-26",
        "until": null,
        "needs": ">=1.88, <2",
        "history": "[[\"1.0.0\",\"9.90\"]]",
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json.to_string()).unwrap(), expected);

    let ObjectSchema::HashTable { value: schema, .. } = table.schema().clone() else { panic!("not a table") };
    table.add(&Value::from(2), &Value::from_json(&expected, &schema).unwrap()).unwrap();
    assert_eq!(typed.find(&2).unwrap(), Some(release()));

    // What the types do not read is an error of that row, and of no other.
    let mut wrong = expected;
    wrong["version"] = json!("1.2");
    table.add(&Value::from(3), &Value::from_json(&wrong, &schema).unwrap()).unwrap();
    let error = typed.find(&3).unwrap_err().to_string();
    assert!(error.contains("semver::Version"), "{error}");
    assert_eq!(typed.find(&2).unwrap(), Some(release()));
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Order {
    total: Decimal,
    version: Version,
    #[serde(flatten)]
    more: std::collections::BTreeMap<String, serde_json::Value>,
}

#[test]
fn types_of_serde_whole() {
    let order = Order {
        total: "12.50".parse().unwrap(),
        version: "0.1.0".parse().unwrap(),
        more: [("note".to_owned(), json!({ "a": [1, null] }))].into(),
    };
    let as_json = SerdeJson(order.clone());
    assert_eq!(from_words::<SerdeJson<Order>>(&to_words(&as_json).unwrap()).unwrap(), as_json);
    let as_cbor = SerdeCbor(order.clone());
    assert_eq!(from_words::<SerdeCbor<Order>>(&to_words(&as_cbor).unwrap()).unwrap(), as_cbor);
    let error = to_words(&Serde(order)).unwrap_err().to_string();
    assert!(error.contains("Order"), "{error}");

    let version = Serde(Version::new(1, 2, 3));
    assert_eq!(from_words::<Serde<Version>>(&to_words(&version).unwrap()).unwrap(), version);
}
