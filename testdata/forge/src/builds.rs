//! The Windows builds that can be forged.

/// A kernel build with its own structure layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(non_camel_case_types)]
pub enum Build {
    /// Windows 7 SP1, Server 2008 R2 SP1.
    W7_7601,
    /// Windows 8, Server 2012.
    W8_9200,
    /// Windows 8.1, Server 2012 R2.
    W81_9600,
    /// Windows 10 1507.
    W10_10240,
    /// Windows 10 1607, Server 2016.
    W10_14393,
    /// Windows 10 1803.
    W10_17134,
    /// Windows 10 1809, Server 2019.
    W10_17763,
    /// Windows 10 1903.
    W10_18362,
    /// Windows 10 22H2 (the kernel calls itself 19041).
    W10_19045,
    /// Server 2022.
    S2022_20348,
    /// Windows 11 21H2.
    W11_22000,
    /// Windows 11 22H2.
    W11_22621,
    /// Windows 11 24H2, Server 2025.
    W11_26100,
}

impl Build {
    /// All of them, oldest first, in the order of the table columns.
    pub const ALL: [Self; 13] = [
        Self::W7_7601,
        Self::W8_9200,
        Self::W81_9600,
        Self::W10_10240,
        Self::W10_14393,
        Self::W10_17134,
        Self::W10_17763,
        Self::W10_18362,
        Self::W10_19045,
        Self::S2022_20348,
        Self::W11_22000,
        Self::W11_22621,
        Self::W11_26100,
    ];

    /// Which column of the tables is this build's.
    #[must_use]
    pub fn column(self) -> usize {
        Self::ALL.iter().position(|&b| b == self).expect("all are listed")
    }

    /// The build number as `NtBuildNumber` and `KUSER_SHARED_DATA` give it to users.
    #[must_use]
    pub fn number(self) -> u32 {
        [7601, 9200, 9600, 10240, 14393, 17134, 17763, 18362, 19045, 20348, 22000, 22621, 26100][self.column()]
    }

    /// `NtBuildLabEx`: build.revision.flavour.branch.time, as public listings of these kernels print it.
    #[must_use]
    pub fn lab(self) -> &'static str {
        [
            "7601.24540.amd64fre.win7sp1_ldr_escrow.191230-1547",
            "9200.16384.amd64fre.win8_rtm.120725-1247",
            "9600.17415.amd64fre.winblue_r4.141028-1500",
            "10240.16384.amd64fre.th1.150709-1700",
            "14393.0.amd64fre.rs1_release.160715-1616",
            "17134.1.amd64fre.rs4_release.180410-1804",
            "17763.1.amd64fre.rs5_release.180914-1434",
            "18362.1.amd64fre.19h1_release.190318-1202",
            "19041.1.amd64fre.vb_release.191206-1406",
            "20348.1.amd64fre.fe_release.210507-1500",
            "22000.1.amd64fre.co_release.210604-1628",
            "22621.1.amd64fre.ni_release.220506-1250",
            "26100.1.amd64fre.ge_release.240331-1435",
        ][self.column()]
    }

    /// Whether `_EPROCESS.Protection` exists (8.1 and later; CrowdStrike, "Evolution of Protected Processes").
    #[must_use]
    pub fn has_protection(self) -> bool {
        self >= Self::W81_9600
    }

    /// Whether the self-referencing page-table slot and the kernel regions move with each boot (Windows 10 1607 and later).
    #[must_use]
    pub fn randomises_kernel_space(self) -> bool {
        self >= Self::W10_14393
    }

    /// Whether invalid page-table entries carry a mask (updates of 2018 and later; the layouts of 9200, 10240 and 17134 are older).
    #[must_use]
    pub fn masks_invalid_entries(self) -> bool {
        !matches!(self, Self::W8_9200 | Self::W10_10240 | Self::W10_17134)
    }

    /// Whether jobs can be server silos (Windows 10 1607 and later).
    #[must_use]
    pub fn has_silos(self) -> bool {
        self >= Self::W10_14393
    }

    /// Whether there is a minimal process `Registry` (Windows 10 1803 and later).
    #[must_use]
    pub fn has_registry_process(self) -> bool {
        self >= Self::W10_17134
    }

    /// Whether there is a minimal process `MemCompression` (Windows 10 1607 and later, clients).
    #[must_use]
    pub fn has_compression_process(self) -> bool {
        self >= Self::W10_14393 && self != Self::S2022_20348
    }
}
