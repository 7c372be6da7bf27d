//! Tuples of up to twelve: their items one after the other.

use super::all_fixed;
use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

macro_rules! tuples {
    ($(($($item:ident $index:tt),*))*) => { $(
        #[allow(unused_variables)]
        #[diagnostic::do_not_recommend]
        impl<$($item: DataManager),*> DataManager for ($($item,)*) {
            const FIXED: Option<usize> = all_fixed(&[$($item::FIXED),*]);
            const DIRECT: bool = true $(&& $item::DIRECT)*;
            const KNOWN: bool = true $(&& $item::KNOWN)*;

            #[inline(always)]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                $(self.$index.encode(out)?;)*
                Ok(())
            }

            #[inline(always)]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                Ok(($(input.take::<$item>()?,)*))
            }

            fn schema(types: &mut Types) -> Schema {
                Schema::Tuple(vec![$(types.of::<$item>()),*])
            }
        }

        #[diagnostic::do_not_recommend]
        impl<$($item: ShmKey),*> ShmKey for ($($item,)*) {}
    )* };
}

tuples! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
}
