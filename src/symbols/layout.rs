//! Typed offsets: C field names are looked up once, when symbols load.

use super::{SymbolError, Symbols};
use std::marker::PhantomData;

/// Where a field of type `T` lies in a structure.
#[derive(Debug)]
pub struct Field<T> {
    /// Distance in bytes from the start of the structure.
    pub offset: u64,
    /// C name of the structure.
    pub structure: &'static str,
    /// C name of the field, with dots where it is nested.
    pub name: &'static str,
    /// Size in bytes; 0 where the symbols do not say.
    pub size: u64,
    kind: PhantomData<fn() -> T>,
}

// Derives would ask for `T: Copy`.
impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Field<T> {}

/// Where a bit-field lies in a structure.
#[derive(Clone, Copy, Debug)]
pub struct Bits {
    /// The integer that holds it.
    pub storage: Field<()>,
    /// Size of that integer in bytes: 1, 2, 4 or 8.
    pub size: u64,
    /// Its lowest bit.
    pub position: u8,
    /// Its number of bits.
    pub length: u8,
}

impl Bits {
    /// The bit-field's value, out of the integer that holds it.
    #[must_use]
    pub const fn of(self, storage: u64) -> u64 {
        let mask = if self.length >= 64 { u64::MAX } else { (1u64 << self.length).wrapping_sub(1) };
        if self.position >= 64 { 0 } else { (storage >> self.position) & mask }
    }
}

/// Something that can stand for a field in a layout.
pub trait Placed: Sized {
    /// Finds the field in the symbols and checks that its size is what the type needs.
    ///
    /// # Errors
    /// The field is missing, or is not of this type.
    fn place(symbols: &Symbols, structure: &'static str, name: &'static str) -> Result<Self, SymbolError>;
}

/// A value as it lies in memory, little-endian.
pub trait Stored: Sized {
    /// Size in bytes that the field must have; `None`: any.
    const SIZE: Option<u64>;

    /// The value, out of the field's bytes. `None`: too few bytes, or no value of this type.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// An embedded structure or array, of which only the place matters.
#[derive(Clone, Copy, Debug)]
pub struct Embedded;

/// An integer of 1 to 8 bytes: a field whose size differs between builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Natural(pub u64);

/// A number of 8 bytes that may be the first of several: a field that was an array in some builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First(pub u64);

macro_rules! stored {
    ($($type:ty),*) => { $(impl Stored for $type {
        const SIZE: Option<u64> = Some(size_of::<$type>() as u64);

        fn decode(bytes: &[u8]) -> Option<Self> {
            bytes.first_chunk().map(|bytes| <$type>::from_le_bytes(*bytes))
        }
    })* };
}
stored!(u8, i8, u16, u32, i32, u64, i64);

impl Stored for crate::VirtualAddress {
    const SIZE: Option<u64> = Some(8);

    fn decode(bytes: &[u8]) -> Option<Self> {
        u64::decode(bytes).map(Self)
    }
}

impl Stored for Embedded {
    const SIZE: Option<u64> = None;

    fn decode(_: &[u8]) -> Option<Self> {
        Some(Self)
    }
}

impl Stored for First {
    const SIZE: Option<u64> = None;

    fn decode(bytes: &[u8]) -> Option<Self> {
        u64::decode(bytes).map(Self)
    }
}

impl Stored for Natural {
    const SIZE: Option<u64> = None;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut whole = [0u8; 8];
        whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(u64::from_le_bytes(whole)))
    }
}

impl<T: Stored> Placed for Field<T> {
    fn place(symbols: &Symbols, structure: &'static str, name: &'static str) -> Result<Self, SymbolError> {
        let info = symbols.field(structure, name)?;
        if let Some(needed) = T::SIZE
            && info.size != 0
            && info.size != needed
        {
            return Err(SymbolError::WrongSize { name: format!("{structure}.{name}"), needed, found: info.size });
        }
        Ok(Self { offset: info.offset, structure, name, size: info.size, kind: PhantomData })
    }
}

impl Placed for Bits {
    fn place(symbols: &Symbols, structure: &'static str, name: &'static str) -> Result<Self, SymbolError> {
        let info = symbols.field(structure, name)?;
        let Some((position, length)) = info.bits else {
            return Err(SymbolError::NotBits { name: format!("{structure}.{name}") });
        };
        if !matches!(info.size, 1 | 2 | 4 | 8) {
            return Err(SymbolError::WrongSize { name: format!("{structure}.{name}"), needed: 8, found: info.size });
        }
        let storage = Field { offset: info.offset, structure, name, size: info.size, kind: PhantomData };
        Ok(Self { storage, size: info.size, position, length })
    }
}

/// The first of several names that the symbols have: a field that was renamed between builds.
///
/// # Errors
/// None of them is there: the error of the first; or one is there with another type: that error.
pub fn place_first<P: Placed>(
    symbols: &Symbols,
    structure: &'static str,
    names: &[&'static str],
) -> Result<P, SymbolError> {
    let mut first = None;
    for name in names {
        match P::place(symbols, structure, name) {
            Err(error @ (SymbolError::NoField { .. } | SymbolError::NoType { .. })) => {
                first.get_or_insert(error);
            }
            found => return found,
        }
    }
    Err(first.unwrap_or_else(|| SymbolError::NoField { name: structure.to_owned() }))
}

/// Declares the layout of one structure.
///
/// ```
/// use ntmem::kernel::View;
/// use ntmem::symbols::{Field, SymbolStore, Wanted};
/// use ntmem::MemoryImage;
///
/// ntmem::layout! {
///     /// What a tool of its own reads of a process.
///     pub struct Times = "_EPROCESS" {
///         /// Creation time.
///         created: Field<u64> = "CreateTime",
///         /// 32-bit half, under the two names that it has had.
///         wow64: Option<Field<u64>> = "WoW64Process" | "Wow64Process",
///     }
/// }
///
/// let image = MemoryImage::open("testdata/samples/clean.raw")?;
/// let store = SymbolStore::new().directory("testdata/samples/symbols");
/// let kernel = image.locate_kernel(&store)?;
/// let wanted = Wanted::default().with(Times::STRUCTURE, Times::FIELDS);
/// let pdb = kernel.pdb().ok_or("the kernel does not name its PDB")?;
/// let times = Times::resolve(&store.find(pdb, &wanted)?)?;
/// let system = kernel.processes()?.next().expect("System is the first");
/// let view = View::read(kernel.space(), system.address(), times.size);
/// assert!(view.get(times.created)? > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// `resolve` finds every name once. A required field that is missing or of another size is an error, by name; an optional
/// one that is missing is `None`. Several names mean that builds differ.
#[macro_export]
macro_rules! layout {
    ($(#[$doc:meta])* pub struct $name:ident = $structure:literal {
        $($(#[$field_doc:meta])* $field:ident : $type:ty = $($path:literal)|+,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            /// Size of the structure in bytes.
            pub size: u64,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// C name of the structure.
            pub const STRUCTURE: &'static str = $structure;

            /// Every field that is asked for, under every name that it has had.
            pub const FIELDS: &'static [&'static str] = &[$($($path),+),*];

            /// Finds every field.
            ///
            /// # Errors
            /// Names the first required field that is missing or of another type.
            pub fn resolve(symbols: &$crate::symbols::Symbols) -> Result<Self, $crate::symbols::SymbolError> {
                Ok(Self {
                    size: symbols.size_of($structure)?,
                    $($field: <$type as $crate::symbols::Resolve>::resolve(symbols, $structure, &[$($path),+])?,)*
                })
            }
        }
    };
}
pub use crate::layout;

/// How a field of a layout is found: required, or optional.
pub trait Resolve: Sized {
    /// Finds the first of `names` in `structure`.
    ///
    /// # Errors
    /// A required field is missing, or a field is of another type.
    fn resolve(symbols: &Symbols, structure: &'static str, names: &[&'static str]) -> Result<Self, SymbolError>;
}

impl<T: Stored> Resolve for Field<T> {
    fn resolve(symbols: &Symbols, structure: &'static str, names: &[&'static str]) -> Result<Self, SymbolError> {
        place_first(symbols, structure, names)
    }
}

impl Resolve for Bits {
    fn resolve(symbols: &Symbols, structure: &'static str, names: &[&'static str]) -> Result<Self, SymbolError> {
        place_first(symbols, structure, names)
    }
}

impl<P: Placed> Resolve for Option<P> {
    fn resolve(symbols: &Symbols, structure: &'static str, names: &[&'static str]) -> Result<Self, SymbolError> {
        match place_first(symbols, structure, names) {
            Ok(placed) => Ok(Some(placed)),
            // One that does not fit is none of ours: what needs it says so, and all else is read.
            Err(
                SymbolError::NoField { .. }
                | SymbolError::NoType { .. }
                | SymbolError::WrongSize { .. }
                | SymbolError::NotBits { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
