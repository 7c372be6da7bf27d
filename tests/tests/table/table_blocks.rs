//! Blocks of the primitive table, and what a declared array says of its elements.

use netshm::data::{DataError, DataManager, Decoder, Encoder, Schema, Types};
use netshm::{Array, Flow, Locking, ShmSchema, Table};
use netshm_tests::Scratch;

#[test]
fn a_block_is_copied_with_the_changes_made_so_far() {
    let object = Scratch::posix("blocks-copy");
    let table = Table::manage(object.open(), Locking::Futex).unwrap();
    table.add(1, &[1, 2, 3]).unwrap();
    let mut copied = [0; 2];
    table
        .write_blocks(1, |block| {
            assert!(block.set(1, 7) && block.set(2, 8) && block.set(1, 9));
            assert_eq!(block.copy_to(&mut copied), 2);
            assert_eq!([1, 3, usize::MAX].map(|index| block.get(index)), [Some(9), None, None]);
            Flow::Next
        })
        .unwrap();
    assert_eq!(copied, [1, 9]);
    assert_eq!(table.find(1).unwrap(), Some(vec![1, 9, 8]));
}

/// Says of itself that it is a number, but not that all values have the length of one.
#[derive(Default)]
struct Variable(u64);

impl DataManager for Variable {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(self.0)
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        input.get().map(Variable)
    }
    fn schema(types: &mut Types) -> Schema {
        u64::schema(types)
    }
}

#[derive(ShmSchema)]
#[shm(prefix = "/netshm-test-declared-part")]
struct Declared {
    #[shm(len = 1)]
    #[allow(dead_code)]
    numbers: Array<Variable>,
}

#[test]
fn a_declared_array_describes_the_elements_that_are_stored() {
    let object = Scratch::posix("blocks-declared");
    Array::<Variable>::manage(object.open(), Variable(0), Locking::Futex).unwrap();
    let stored = object.open().describe().unwrap().to_string();
    assert!(stored.contains("Array<Box<u64>>"), "{stored}");
    assert!(Declared::describe().contains("Array<Box<u64>>"), "{}", Declared::describe());
}
