//! Kernels that nobody has seen: made of known layouts.

use crate::layout::{Layout, Spec};

impl Layout {
    /// The same layout with so many bytes more in a type before what lies at `at`, as if an update had added a field there. Types
    /// that embed the type grow with it.
    ///
    /// ```
    /// use ntmem_forge::{Build, layout::Layout};
    ///
    /// let known = Layout::of(Build::W11_26100);
    /// let newer = known.clone().shifted("_EPROCESS", known.offset("_EPROCESS", "Token"), 0x18).numbered(27_500);
    /// assert_eq!(newer.offset("_EPROCESS", "Token"), known.offset("_EPROCESS", "Token") + 0x18);
    /// assert_eq!(newer.offset("_EPROCESS", "UniqueProcessId"), known.offset("_EPROCESS", "UniqueProcessId"));
    /// ```
    ///
    /// # Panics
    /// When there is no such type, or `at` is inside a field, or `bytes` would leave fields without their alignment.
    #[must_use]
    pub fn shifted(mut self, kind: &str, at: u64, bytes: u64) -> Self {
        assert!(bytes.is_multiple_of(8), "fields are aligned to 8 bytes");
        for field in &self.types[kind].fields {
            let end = field.offset + self.width(&field.spec);
            assert!(field.offset >= at || end <= at, "{kind}.{} lies across {at:#x}", field.name);
        }
        self.grow(kind, at, bytes);
        self
    }

    fn grow(&mut self, kind: &str, at: u64, bytes: u64) {
        let old = self.size(kind);
        let owner = self.types.get_mut(kind).expect("its size is known");
        owner.size += bytes;
        owner.fields.iter_mut().filter(|f| f.offset >= at).for_each(|f| f.offset += bytes);
        let embeds = |spec: &Spec| matches!(spec, Spec::Named(name) if name == kind);
        let mut outer = Vec::new();
        for (name, owner) in self.types.iter().filter(|(_, owner)| !owner.union) {
            outer.extend(owner.fields.iter().filter(|f| embeds(&f.spec)).map(|f| (f.offset + old, name.clone())));
        }
        // From the last field on, so that the ends of those before it stay true.
        outer.sort();
        for (end, name) in outer.into_iter().rev() {
            self.grow(&name, end, bytes);
        }
    }

    /// The same layout with a field at another place in its type, as an update may have it.
    ///
    /// # Panics
    /// When there is no such type or field.
    #[must_use]
    pub fn moved(mut self, kind: &str, field: &str, to: u64) -> Self {
        let owner = self.types.get_mut(kind).unwrap_or_else(|| panic!("no type {kind}"));
        owner
            .fields
            .iter_mut()
            .find(|known| known.name == field)
            .unwrap_or_else(|| panic!("no {kind}.{field}"))
            .offset = to;
        self
    }

    /// The same layout with a type of another size.
    ///
    /// # Panics
    /// When there is no such type.
    #[must_use]
    pub fn sized(mut self, kind: &str, bytes: u64) -> Self {
        self.types.get_mut(kind).unwrap_or_else(|| panic!("no type {kind}")).size = bytes;
        self
    }

    /// The same kernel under another build number, such as one that is beyond all known ones.
    #[must_use]
    pub fn numbered(mut self, number: u32) -> Self {
        let rest = self.lab.split_once('.').map_or(String::new(), |(_, rest)| rest.to_owned());
        self.lab = format!("{number}.{rest}");
        self.number = number;
        self
    }

    /// The same kernel with a PDB that no collection has: a GUID made of this number.
    #[must_use]
    pub fn unknown(mut self, seed: u64) -> Self {
        let mut noise = crate::rng::Rng::new(seed ^ 0x6775_6964);
        self.guid = format!("{:016X}{:016X}", noise.next_u64(), noise.next_u64());
        self
    }
}
