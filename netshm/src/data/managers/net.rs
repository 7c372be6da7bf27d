//! Network addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

/// Stored through a conversion to another type and back.
macro_rules! as_other {
    ($($type:ty as $other:ty = $name:literal, |$value:ident| $to:expr, |$stored:pat_param| $from:expr;)*) => { $(
        #[diagnostic::do_not_recommend]
        impl DataManager for $type {
            const FIXED: Option<usize> = <$other>::FIXED;
            const DIRECT: bool = true;
            const KNOWN: bool = true;

            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                let $value = self;
                <$other as DataManager>::encode(&$to, out)
            }

            #[inline]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                let $stored = <$other>::decode(input)?;
                Ok($from)
            }

            fn schema(types: &mut Types) -> Schema {
                types.tuple_structure::<Self>($name, |fields| fields.item::<$other>())
            }
        }

        #[diagnostic::do_not_recommend]
        impl ShmKey for $type {}
    )* };
}

as_other! {
    Ipv4Addr as u32 = "Ipv4Addr", |ip| ip.to_bits(), |bits| Ipv4Addr::from_bits(bits);
    Ipv6Addr as u128 = "Ipv6Addr", |ip| ip.to_bits(), |bits| Ipv6Addr::from_bits(bits);
    SocketAddrV4 as (Ipv4Addr, u16) = "SocketAddrV4",
        |address| (*address.ip(), address.port()), |(ip, port)| SocketAddrV4::new(ip, port);
    SocketAddrV6 as (Ipv6Addr, u16, u32, u32) = "SocketAddrV6",
        |address| (*address.ip(), address.port(), address.flowinfo(), address.scope_id()),
        |(ip, port, flow, scope)| SocketAddrV6::new(ip, port, flow, scope);
}

/// Either of two versions, as a `Result` of them: 0 or 1, then the address, filled up to the length of the longer.
macro_rules! either {
    ($($type:ident = $v4:ty | $v6:ty;)*) => { $(
        #[diagnostic::do_not_recommend]
        impl DataManager for $type {
            const FIXED: Option<usize> = <Result<$v4, $v6>>::FIXED;
            const DIRECT: bool = true;
            const KNOWN: bool = true;

            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                match self {
                    $type::V4(v4) => Ok::<$v4, $v6>(*v4).encode(out),
                    $type::V6(v6) => Err::<$v4, $v6>(*v6).encode(out),
                }
            }

            #[inline]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                Ok(match <Result<$v4, $v6>>::decode(input)? {
                    Ok(v4) => $type::V4(v4),
                    Err(v6) => $type::V6(v6),
                })
            }

            fn schema(types: &mut Types) -> Schema {
                types.tuple_structure::<Self>(stringify!($type), |fields| fields.item::<Result<$v4, $v6>>())
            }
        }

        #[diagnostic::do_not_recommend]
        impl ShmKey for $type {}
    )* };
}

either! {
    IpAddr = Ipv4Addr | Ipv6Addr;
    SocketAddr = SocketAddrV4 | SocketAddrV6;
}
