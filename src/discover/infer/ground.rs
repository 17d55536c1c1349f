//! What is known of `_EPROCESS` while the rest is judged.

use super::scene::{Sample, Scene};
use super::types::Types;
use crate::kernel::layouts::{EprocessLayout, VadLayout};
use crate::memory::AddressSpace;
use crate::{PhysicalAddress, VirtualAddress};

/// Offsets in `_EPROCESS` on which judgements of others rest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub name: Option<u64>,
    pub dtb: Option<u64>,
    pub created: Option<u64>,
    pub ppid: Option<u64>,
    pub peb: Option<u64>,
    pub section_base: Option<u64>,
    pub section: Option<u64>,
    pub token: Option<u64>,
    pub handle_table: Option<u64>,
    pub session: Option<u64>,
    pub session_links: Option<u64>,
    pub threads_head: Option<u64>,
    pub audit_name: Option<u64>,
    pub vad_root: Option<u64>,
}

impl From<&EprocessLayout> for Known {
    fn from(layout: &EprocessLayout) -> Self {
        Self {
            name: Some(layout.name.offset),
            dtb: Some(layout.dtb.offset),
            created: Some(layout.created.offset),
            ppid: Some(layout.ppid.offset),
            peb: Some(layout.peb.offset),
            token: Some(layout.token.offset),
            section_base: layout.section_base.map(|field| field.offset),
            section: layout.section.map(|field| field.offset),
            handle_table: layout.handle_table.map(|field| field.offset),
            session: layout.session.map(|field| field.offset),
            session_links: layout.session_links.map(|field| field.offset),
            threads_head: layout.threads_head.map(|field| field.offset),
            audit_name: layout.audit_name.map(|field| field.offset),
            vad_root: layout.vad_root.map(|field| field.offset),
        }
    }
}

/// The processes, with what is known of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'a, 'm> {
    pub scene: &'a Scene<'m>,
    pub known: Known,
    /// Forms that the nodes of address ranges may have.
    pub vads: &'a [VadLayout],
    /// The table of object types.
    pub types: Option<&'a Types>,
}

impl<'a, 'm> Ground<'a, 'm> {
    /// All processes.
    pub fn samples(&self) -> impl Iterator<Item = &'a Sample<'m>> + Clone + use<'a, 'm> {
        self.scene.samples.iter()
    }

    /// System.
    pub fn system(&self) -> Option<&'a Sample<'m>> {
        self.scene.samples.first()
    }

    /// All but System.
    pub fn others(&self) -> impl Iterator<Item = &'a Sample<'m>> + Clone + use<'a, 'm> {
        self.scene.samples.iter().skip(1)
    }

    /// The pointer of a process at a known offset, if it is not null.
    pub fn pointer(&self, of: &Sample<'_>, offset: Option<u64>) -> Option<VirtualAddress> {
        of.get::<VirtualAddress>(offset?).filter(|address| !address.is_null())
    }

    /// The short name of a process, in lower case, without what follows its first zero.
    pub fn name(&self, of: &Sample<'_>) -> Option<String> {
        let bytes = of.bytes(self.known.name?, 15)?;
        let text: Vec<u8> = bytes.iter().copied().take_while(|byte| *byte != 0).collect();
        String::from_utf8(text).ok().map(|name| name.to_ascii_lowercase())
    }

    /// The processes of a name.
    pub fn named(&self, name: &'static str) -> impl Iterator<Item = &'a Sample<'m>> + use<'a, 'm> {
        let ground = *self;
        self.others().filter(move |sample| ground.name(sample).as_deref() == Some(name))
    }

    /// The smss that System started.
    pub fn master(&self) -> Option<&'a Sample<'m>> {
        let ppid = self.known.ppid?;
        self.named("smss.exe").find(|sample| sample.get::<u64>(ppid) == Some(4))
    }

    /// A process's own address space.
    pub fn space(&self, of: &Sample<'_>) -> Option<AddressSpace<'m>> {
        let root = of.get::<u64>(self.known.dtb?)?;
        Some(self.scene.space.with_root(PhysicalAddress(root))).filter(|space| !space.root().is_null())
    }

    /// The first three pointers of a PEB that tell it apart: image base, modules, parameters. They lie at 0x10, 0x18 and 0x20
    /// in every version for x64.
    pub fn peb(&self, of: &Sample<'_>, at: VirtualAddress) -> Option<[VirtualAddress; 3]> {
        let space = self.space(of)?;
        let bytes: [u8; 24] = space.read_array(at.wrapping_add(0x10)).ok()?;
        let (three, _) = bytes.as_chunks::<8>();
        let mut found = [VirtualAddress(0); 3];
        for (to, from) in found.iter_mut().zip(three) {
            *to = VirtualAddress(u64::from_le_bytes(*from));
        }
        Some(found)
    }

    /// `ImageBaseAddress`, by the PEB.
    pub fn image_base(&self, of: &Sample<'_>) -> Option<VirtualAddress> {
        let [base, ..] = self.peb(of, self.pointer(of, self.known.peb)?)?;
        is_user_page(base).then_some(base)
    }

    /// The kernel's path of the image, by `SeAuditProcessCreationInfo`.
    pub fn audit_path(&self, of: &Sample<'_>) -> Option<String> {
        self.scene.text(self.scene.space, self.pointer(of, self.known.audit_name)?)
    }

    /// The id of a session, which lies at 8 in every version for x64; where only the session's processes map it, through one.
    pub fn session_id(&self, of: &Sample<'_>, session: VirtualAddress) -> Option<u32> {
        let at = session.checked_add(8)?;
        self.scene.space.read_u32(at).ok().or_else(|| self.space(of)?.read_u32(at).ok())
    }
}

/// An address in the user half, not at its very start.
pub(super) const fn is_user(at: VirtualAddress) -> bool {
    at.0 >= 0x1_0000 && at.0 < 0x8000_0000_0000
}

/// The same, at the start of a page.
pub(super) const fn is_user_page(at: VirtualAddress) -> bool {
    is_user(at) && at.page_offset() == 0
}
