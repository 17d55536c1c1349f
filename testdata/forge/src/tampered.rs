//! What may be wrong where only pages show it that are away.

use crate::hive_plan::Data;
use crate::page_plan::Paged;
use crate::page_variants::kebab;
use crate::scenario::{ImageEdit, Scenario};
use crate::user::ENTRY_PAGE;

/// What is wrong, visible only in pages that [`Scenario::behind`] puts away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampered {
    /// A program in `SETUPEXECUTE`.
    SetupExecute,
    /// A second program in `BootExecute`.
    BootExecute,
    /// A third subsystem in `SubSystems\Required`.
    Required,
    /// Another image path in smss' parameters.
    SmssPath,
    /// Another command line in smss' parameters.
    SmssCommand,
    /// A fourth server in csrss' command line.
    CsrssCommand,
    /// Another image base in smss' PEB.
    SmssBase,
    /// No headers where smss' image begins.
    SmssHeaders,
    /// Other code where smss' image is entered.
    SmssEntry,
    /// No headers where ntdll begins in smss.
    NtdllHeaders,
    /// Other code where ntdll is entered in smss.
    NtdllEntry,
}

impl Tampered {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::SetupExecute,
        Self::BootExecute,
        Self::Required,
        Self::SmssPath,
        Self::SmssCommand,
        Self::CsrssCommand,
        Self::SmssBase,
        Self::SmssHeaders,
        Self::SmssEntry,
        Self::NtdllHeaders,
        Self::NtdllEntry,
    ];

    /// Its name, as `smss-path`.
    #[must_use]
    pub fn name(self) -> String {
        kebab(&format!("{self:?}"))
    }

    /// Whether it is in the hive.
    #[must_use]
    pub fn in_hive(self) -> bool {
        matches!(self, Self::SetupExecute | Self::BootExecute | Self::Required)
    }
}

impl Tampered {
    /// Whether it is a page of an image that was replaced.
    #[must_use]
    pub fn is_page(self) -> bool {
        matches!(self, Self::SmssHeaders | Self::SmssEntry | Self::NtdllHeaders | Self::NtdllEntry)
    }
}

impl Scenario {
    /// Something wrong that only pages show which [`Scenario::behind`], called afterwards, puts away.
    #[must_use]
    pub fn tampered(mut self, what: Tampered) -> Self {
        let root = self.system_root.clone();
        match what {
            Tampered::SetupExecute => {
                self.session_manager("").multi("SETUPEXECUTE", &["evil.exe"]);
            }
            Tampered::BootExecute => {
                self.session_manager("").multi("BootExecute", &["autocheck autochk *", "evil"]);
            }
            Tampered::Required => {
                self.session_manager("SubSystems")
                    .multi("Required", &["Debug", "Windows", "Evil"])
                    .set("Evil", Data::ExpandSz("%SystemRoot%\\system32\\evil.exe".into()));
            }
            Tampered::SmssPath => {
                let path = format!("{root}\\Temp\\smss.exe");
                let user = self.process(348).user.as_mut().expect("user memory");
                user.path.clone_from(&path);
                user.modules[0] = path;
            }
            Tampered::SmssCommand => {
                let user = self.process(348).user.as_mut().expect("user memory");
                user.command_line = format!("{root}\\Temp\\smss.exe -evil");
            }
            Tampered::CsrssCommand => {
                let user = self.process(452).user.as_mut().expect("user memory");
                user.command_line =
                    user.command_line.replace("ServerDll=sxssrv,4", "ServerDll=sxssrv,4 ServerDll=evilsrv,5");
            }
            Tampered::SmssBase => {
                let smss = self.process(348);
                let user = smss.user.as_mut().expect("user memory");
                smss.section_base = Some(user.image_base);
                user.image_base = 0x1_4000_0000;
            }
            Tampered::SmssHeaders | Tampered::SmssEntry | Tampered::NtdllHeaders | Tampered::NtdllEntry => {
                let module = usize::from(matches!(what, Tampered::NtdllHeaders | Tampered::NtdllEntry));
                let is_entry = matches!(what, Tampered::SmssEntry | Tampered::NtdllEntry);
                let (page, bytes) = if is_entry { (ENTRY_PAGE, vec![0x90; 0x1000]) } else { (0, vec![0x90; 0x400]) };
                self.entries = true;
                let user = self.process(348).user.as_mut().expect("user memory");
                user.edits = vec![ImageEdit { module, page, at: 0, bytes, state: Paged::Present }];
            }
        }
        self
    }
}
