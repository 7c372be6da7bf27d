//! Changes that depend on what is there, by the stored schema: arithmetic, exchange, and both on a condition.

use std::borrow::Cow;

use super::array::DynArray;
use super::plan::{Node, Plan};
use super::row;
use super::table::DynTable;
use super::value::Value;
use crate::data::Scalar;
use crate::data::unfit::Unfit;
use crate::error::{Error, Result};
use crate::shm::Shm;

/// An operation on a number and an operand.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Add,
    Sub,
    Min,
    Max,
    And,
    Or,
}

/// A type of integers.
#[derive(Debug, Clone, Copy)]
struct Number {
    bits: u32,
    is_signed: bool,
}

impl Number {
    /// Returns the type of a plan, if it is one of integers.
    fn of(shm: &Shm, plan: &Plan) -> Result<Number> {
        let (is_signed, words) = match plan.node(plan.root()) {
            Node::Scalar(Scalar::U8) => (false, u8::BITS),
            Node::Scalar(Scalar::U16) => (false, u16::BITS),
            Node::Scalar(Scalar::U32) => (false, u32::BITS),
            Node::Scalar(Scalar::U64 | Scalar::Usize) => (false, u64::BITS),
            Node::Scalar(Scalar::U128) => (false, u128::BITS),
            Node::Scalar(Scalar::I8) => (true, i8::BITS),
            Node::Scalar(Scalar::I16) => (true, i16::BITS),
            Node::Scalar(Scalar::I32) => (true, i32::BITS),
            Node::Scalar(Scalar::I64 | Scalar::Isize) => (true, i64::BITS),
            Node::Scalar(Scalar::I128) => (true, i128::BITS),
            node => {
                let unfit = Unfit::expected("an integer type", node);
                return Err(Error::Unfit { object: shm.object().name().clone(), unfit });
            }
        };
        Ok(Number { bits: words, is_signed })
    }

    /// Returns the number zero.
    fn zero(self) -> Value {
        self.value(0)
    }

    /// Returns the number with these low bits.
    fn value(self, bits: u128) -> Value {
        let unused = u128::BITS - self.bits;
        if self.is_signed {
            Value::Int((bits << unused).cast_signed() >> unused)
        } else {
            Value::UInt(bits << unused >> unused)
        }
    }

    /// Returns the result for two numbers of the type; a sum or difference wraps around at its bounds.
    fn calculate(self, operation: Operation, old: &Value, by: &Value) -> Value {
        let [a, b] = [old, by].map(|value| match value {
            Value::Int(number) => number.cast_unsigned(),
            Value::UInt(number) => *number,
            _ => unreachable!("it has been encoded as a number"),
        });
        let is_less = if self.is_signed { a.cast_signed() < b.cast_signed() } else { a < b };
        self.value(match operation {
            Operation::Add => a.wrapping_add(b),
            Operation::Sub => a.wrapping_sub(b),
            Operation::Min if is_less => a,
            Operation::Min => b,
            Operation::Max if is_less => b,
            Operation::Max => a,
            Operation::And => a & b,
            Operation::Or => a | b,
        })
    }
}

impl DynTable {
    /// Changes the newest binding of the key, and returns what it was; see [`HashTable::swap`](crate::HashTable::swap).
    ///
    /// # Errors
    /// Those of [`add`](Self::add) and [`find`](Self::find).
    #[doc(alias = "insert")]
    #[doc(alias = "exchange")]
    pub fn swap(&self, key: &Value, value: &Value) -> Result<Option<Value>> {
        self.value_row(value)?;
        self.exchange(key, |old| Ok((Some(Cow::Borrowed(value)), old)))
    }

    /// Changes the newest binding of the key to `new` if it is `old`; see
    /// [`HashTable::compare_exchange`](crate::HashTable::compare_exchange).
    ///
    /// # Errors
    /// Those of [`add`](Self::add) and [`find`](Self::find).
    #[doc(alias = "compare_and_swap")]
    #[doc(alias = "cas")]
    pub fn compare_exchange(
        &self,
        key: &Value,
        old: &Value,
        new: &Value,
    ) -> Result<std::result::Result<(), Option<Value>>> {
        self.value_row(old).and_then(|_| self.value_row(new))?;
        self.exchange(key, |found| match found {
            Some(found) if self.value_row(&found)? == self.value_row(old)? => Ok((Some(Cow::Borrowed(new)), Ok(()))),
            found => Ok((None, Err(found))),
        })
    }

    /// Adds to the number that is the newest binding of the key, and returns the previous number; see
    /// [`HashTable::fetch_add`](crate::HashTable::fetch_add).
    ///
    /// ```
    /// # use netshm::dynamic::{DynTable, Value};
    /// # use netshm::{HashTable, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/fetch.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let typed: HashTable<String, i8> = HashTable::manage(shm, Locking::Futex)?;
    /// let table = DynTable::open(Shm::open(typed.shm().name())?)?;
    /// assert_eq!(table.fetch_add(&Value::from("a"), &Value::from(127))?, Value::from(0));
    /// assert_eq!(table.fetch_add(&Value::from("a"), &Value::from(1))?, Value::from(127));
    /// assert_eq!(typed.find("a")?, Some(-128));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unfit`] if the table's values are not integers, or the operand is not one of them; those of
    /// [`add`](Self::add) and [`find`](Self::find).
    #[doc(alias = "increment")]
    #[doc(alias = "incr")]
    pub fn fetch_add(&self, key: &Value, by: &Value) -> Result<Value> {
        self.fetch(key, Operation::Add, by)
    }

    /// Subtracts from the number that is the newest binding of the key, as [`fetch_add`](Self::fetch_add) adds.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    #[doc(alias = "decrement")]
    #[doc(alias = "decr")]
    pub fn fetch_sub(&self, key: &Value, by: &Value) -> Result<Value> {
        self.fetch(key, Operation::Sub, by)
    }

    /// Replaces the number that is the newest binding of the key with the smaller of it and `other`, and returns the previous
    /// number; see [`HashTable::fetch_min`](crate::HashTable::fetch_min).
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_min(&self, key: &Value, other: &Value) -> Result<Value> {
        self.fetch(key, Operation::Min, other)
    }

    /// Replaces the number that is the newest binding of the key with the larger of it and `other`, and returns the previous
    /// number; see [`HashTable::fetch_max`](crate::HashTable::fetch_max).
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_max(&self, key: &Value, other: &Value) -> Result<Value> {
        self.fetch(key, Operation::Max, other)
    }

    /// Keeps only the bits of the number that is the newest binding of the key that are set in `bits`, and returns the
    /// previous number; see [`HashTable::fetch_and`](crate::HashTable::fetch_and).
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_and(&self, key: &Value, bits: &Value) -> Result<Value> {
        self.fetch(key, Operation::And, bits)
    }

    /// Sets bits of the number that is the newest binding of the key, and returns the previous number; see
    /// [`HashTable::fetch_or`](crate::HashTable::fetch_or).
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_or(&self, key: &Value, bits: &Value) -> Result<Value> {
        self.fetch(key, Operation::Or, bits)
    }

    fn fetch(&self, key: &Value, operation: Operation, by: &Value) -> Result<Value> {
        let number = Number::of(self.shm(), self.value_plan()?)?;
        let by = self.value_of(&self.value_row(by)?)?;
        self.exchange(key, |old| {
            let old = old.unwrap_or_else(|| number.zero());
            Ok((Some(Cow::Owned(number.calculate(operation, &old, &by))), old))
        })
    }

    /// Replaces the newest binding of the key with what `new` makes of it, if it makes something of it, as one step.
    fn exchange<'v, R>(
        &self,
        key: &Value,
        new: impl FnOnce(Option<Value>) -> Result<(Option<Cow<'v, Value>>, R)>,
    ) -> Result<R> {
        let key = self.key_row(key)?;
        self.inner().locked(&key, || {
            let old = self.inner().find(&key)?.map(|row| self.value_of(&row)).transpose()?;
            let (new, result) = new(old)?;
            if let Some(new) = new {
                self.replace_by(&key, &new)?;
            }
            Ok(result)
        })
    }
}

impl DynArray {
    /// Sets an element to `new` if it is `old`; see [`Array::compare_exchange`](crate::Array::compare_exchange).
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set).
    #[doc(alias = "compare_and_swap")]
    #[doc(alias = "cas")]
    pub fn compare_exchange(&self, index: usize, old: &Value, new: &Value) -> Result<std::result::Result<(), Value>> {
        let [old, new] = [old, new].map(|value| self.row_of(value));
        let (old, new) = (old?, new?);
        self.exchange(
            index,
            |found| {
                if self.row_of(&found)? == old { Ok((Some(new), Ok(()))) } else { Ok((None, Err(found))) }
            },
        )
    }

    /// Adds to an element, and returns the previous number; see [`Array::fetch_add`](crate::Array::fetch_add).
    ///
    /// # Errors
    /// [`Error::Unfit`] if the elements are not integers, or the operand is not one of them; those of [`get`](Self::get) and
    /// [`set`](Self::set).
    #[doc(alias = "increment")]
    #[doc(alias = "incr")]
    pub fn fetch_add(&self, index: usize, by: &Value) -> Result<Value> {
        self.fetch(index, Operation::Add, by)
    }

    /// Subtracts from an element, as [`fetch_add`](Self::fetch_add) adds.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    #[doc(alias = "decrement")]
    #[doc(alias = "decr")]
    pub fn fetch_sub(&self, index: usize, by: &Value) -> Result<Value> {
        self.fetch(index, Operation::Sub, by)
    }

    /// Replaces an element with the smaller of it and `other`, and returns the previous number.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_min(&self, index: usize, other: &Value) -> Result<Value> {
        self.fetch(index, Operation::Min, other)
    }

    /// Replaces an element with the larger of it and `other`, and returns the previous number.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_max(&self, index: usize, other: &Value) -> Result<Value> {
        self.fetch(index, Operation::Max, other)
    }

    /// Keeps only the bits of an element that are set in `bits`, and returns the previous number.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_and(&self, index: usize, bits: &Value) -> Result<Value> {
        self.fetch(index, Operation::And, bits)
    }

    /// Sets bits of an element, and returns the previous number.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_or(&self, index: usize, bits: &Value) -> Result<Value> {
        self.fetch(index, Operation::Or, bits)
    }

    fn fetch(&self, index: usize, operation: Operation, by: &Value) -> Result<Value> {
        let number = Number::of(self.shm(), &*self.element()?)?;
        let by = self.value_of(&self.row_of(by)?)?;
        self.exchange(index, |old| Ok((Some(self.row_of(&number.calculate(operation, &old, &by))?), old)))
    }

    /// Replaces an element with what `new` makes of it, if it makes something of it, as one step.
    fn exchange<R>(&self, index: usize, new: impl FnOnce(Value) -> Result<(Option<row::Row>, R)>) -> Result<R> {
        self.inner.group(|| {
            self.inner.lock(index)?;
            let (new, result) = new(self.get(index)?)?;
            if let Some(new) = new {
                self.inner.set(index, &new)?;
            }
            Ok(result)
        })
    }
}
