//! Defaults of added fields that later versions drop.

use netshm::Error;
use netshm_tests::Scratch;

use super::schema_evolution::open;

/// Three versions of a type, of which the last ones differ in their defaults.
mod defaults {
    macro_rules! version {
        ($name:ident: $($fields:tt)*) => {
            pub(super) mod $name {
                #[derive(netshm::ShmData, Debug, PartialEq)]
                pub(crate) struct Row {
                    pub(crate) x: u64,
                    $($fields)*
                }
            }
        };
    }
    version!(first:);
    version!(second: #[shm(default)] pub(crate) y: u64,);
    version!(second_without_default: pub(crate) y: u64,);
    version!(third: #[shm(default)] pub(crate) y: u64, #[shm(default)] pub(crate) z: u64,);
    version!(third_without_default: pub(crate) y: u64, #[shm(default)] pub(crate) z: u64,);
}

#[test]
fn a_version_that_drops_the_default_of_its_predecessor_is_refused() {
    use defaults::{first, second, second_without_default, third, third_without_default};
    let object = Scratch::posix("evolution-dropped-default");
    open::<first::Row>(&object).unwrap().add("a", &first::Row { x: 1 }).unwrap();
    open::<second::Row>(&object).unwrap().add("b", &second::Row { x: 2, y: 2 }).unwrap();
    let refused = |outcome: Option<Error>| match outcome {
        Some(Error::SchemaMismatch { stored, .. }) => assert!(stored.contains("y?: u64"), "{stored}"),
        other => panic!("{other:?}"),
    };
    refused(open::<second_without_default::Row>(&object).err());
    refused(open::<third_without_default::Row>(&object).err());
    open::<second::Row>(&object).unwrap().add("c", &second::Row { x: 3, y: 3 }).unwrap();
    let table = open::<third::Row>(&object).unwrap();
    table.add("d", &third::Row { x: 4, y: 4, z: 4 }).unwrap();
    assert_eq!(table.find("a").unwrap(), Some(third::Row { x: 1, y: 0, z: 0 }));
    let report = table.check().unwrap();
    assert!(report.is_clean() && report.bindings == 4, "{report}");
    drop(table);
    let copied = netshm::dynamic::DynTable::open(object.open()).unwrap();
    assert_eq!(copied.scan().filter_map(Result::ok).count(), 4);
}

#[test]
fn a_default_that_no_row_needs_may_be_dropped() {
    use defaults::{second, second_without_default, third, third_without_default};
    let object = Scratch::posix("evolution-unneeded-default");
    open::<second::Row>(&object).unwrap().add("a", &second::Row { x: 1, y: 1 }).unwrap();
    open::<second_without_default::Row>(&object).unwrap();
    let table = open::<third_without_default::Row>(&object).unwrap();
    table.add("b", &third_without_default::Row { x: 2, y: 2, z: 2 }).unwrap();
    assert_eq!(table.find("a").unwrap(), Some(third_without_default::Row { x: 1, y: 1, z: 0 }));
    drop(table);
    open::<third::Row>(&object).unwrap();
}
