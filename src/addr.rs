//! Addresses that know what they address.
//!
//! A physical and a virtual address are different types, and neither has `+`: a sum on bytes that an attacker may have
//! written says, by the name of the method, what happens when it overflows.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use serde::de::Error as _;
use std::fmt;

/// Size in bytes of the smallest page on every supported architecture.
pub const PAGE_SIZE: u64 = 0x1000;
/// The same, as the length of a buffer.
pub(crate) const PAGE_BYTES: usize = 0x1000;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The address `bytes` further up, or `None` where the sum leaves 64 bits.
            #[must_use]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// The address `bytes` further up, wrapping round at 64 bits as the processor does.
            #[must_use]
            pub const fn wrapping_add(self, bytes: u64) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// The address `bytes` further down, wrapping round below zero: what a container-of computation does.
            #[must_use]
            pub const fn wrapping_sub(self, bytes: u64) -> Self {
                Self(self.0.wrapping_sub(bytes))
            }

            /// The first address of the 4 KiB page this address lies in.
            #[must_use]
            pub const fn page(self) -> Self {
                Self(self.0 & !(PAGE_SIZE - 1))
            }

            /// The distance in bytes from the start of the 4 KiB page.
            #[must_use]
            pub const fn page_offset(self) -> u64 {
                self.0 & (PAGE_SIZE - 1)
            }

            /// Bytes from this address to the end of its 4 KiB page: 1 to 4096.
            #[must_use]
            pub const fn left_in_page(self) -> u64 {
                // Page offset is below PAGE_SIZE.
                PAGE_SIZE.wrapping_sub(self.page_offset())
            }

            /// True for address zero.
            #[must_use]
            pub const fn is_null(self) -> bool {
                self.0 == 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#018x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Hex::deserialize(from).map(|Hex(value)| Self(value))
            }
        }
    };
}

address!(
    /// An address on the memory bus of the imaged machine.
    PhysicalAddress
);
address!(
    /// An address as a processor of the imaged machine sees it, in some address space.
    VirtualAddress
);

impl VirtualAddress {
    /// True in the upper half of the 64-bit address space, where Windows keeps the kernel.
    #[must_use]
    pub const fn is_kernel(self) -> bool {
        self.0 >> 63 == 1
    }

    /// The number of the part of memory that one table of the lowest level maps: 2 MiB.
    pub(crate) const fn table_area(self) -> u64 {
        self.0 >> 21
    }
}

/// A number that documents write in hexadecimal (`"0x3e7"`). Reads hexadecimal text and plain numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hex(pub u64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Hex;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or hexadecimal text such as \"0x3e7\"")
            }

            fn visit_u64<E>(self, value: u64) -> Result<Hex, E> {
                Ok(Hex(value))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Hex, E> {
                parse_hex(text).map(Hex).ok_or_else(|| E::custom(format!("{text:?} is no hexadecimal number")))
            }
        }
        from.deserialize_any(Visitor).map_err(D::Error::custom)
    }
}

/// Reads `0x1f`, `0X1F` or `1f`; grouping with `_` or a backtick (as debuggers print it) is allowed.
#[must_use]
pub fn parse_hex(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let digits: String = digits.chars().filter(|c| *c != '_' && *c != '`').collect();
    // `from_str_radix` would take a sign.
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(&digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_arithmetic() {
        let at = VirtualAddress(0xffff_f800_0000_1ffe);
        assert_eq!(at.page(), VirtualAddress(0xffff_f800_0000_1000));
        assert_eq!(at.left_in_page(), 2);
        assert_eq!(VirtualAddress(0x2000).left_in_page(), 0x1000);
        assert_eq!(VirtualAddress(u64::MAX).checked_add(1), None);
    }

    #[test]
    fn hexadecimal_text() {
        assert_eq!(parse_hex("0xfffff800`00001000"), Some(0xffff_f800_0000_1000));
        assert_eq!(parse_hex("1AD000"), Some(0x1a_d000));
        assert_eq!(parse_hex("-1"), None);
        assert_eq!(parse_hex("+1"), None);
        assert_eq!(parse_hex(""), None);
        assert_eq!(PhysicalAddress(0x6d4000).to_string(), "0x00000000006d4000");
    }
}
