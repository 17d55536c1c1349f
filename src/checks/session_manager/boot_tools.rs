//! Programs that lists of boot programs name, as data: Windows' own, and those of known products with a source for each.

/// Words before the program in a line of BootExecute (ReactOS, `SmpParseCommandLine`).
pub(super) const KEYWORDS: [&str; 3] = ["autocheck", "async", "debug"];
/// Windows' own programs that check and convert volumes.
pub(super) const VOLUME_TOOLS: [&str; 2] = ["autochk", "autoconv"];
/// Windows' own program that formats a volume: nobody asks for that at the start of the system.
pub(super) const FORMATTER: &str = "autofmt";
/// Programs in SetupExecute: updates that are to be finished, and a disk image that is to become a machine.
pub(super) const SERVICING_TOOLS: [&str; 2] = ["poqexec", "setupcl"];

/// A boot program of another vendor.
pub(super) struct VendorTool {
    /// Its file name without extension, in lower case.
    pub(super) stem: &'static str,
    /// Whose it is.
    pub(super) product: &'static str,
    /// What tells so.
    pub(super) source: Source,
}

/// How well it is known that a product puts its program there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The product's source code or documentation, or a published list of children of smss.exe, has it.
    Published,
    /// The program is known, and reports of users show it there.
    Reported,
    /// The name alone is known; a bare name is anybody's file in System32.
    NameOnly,
}

const fn tool(stem: &'static str, product: &'static str, source: Source) -> VendorTool {
    VendorTool { stem, product, source }
}

/// More exist: a name that is not here is not known to be harmless.
pub(super) const VENDOR_TOOLS: &[VendorTool] = &[
    // Elastic detection rules, "Unusual Parent-Child Relationship": children of smss.exe.
    tool("icarus_rvrt", "Avast, AVG", Source::Published),
    tool("sophosna", "Sophos", Source::Published),
    tool("pvsvmboot", "Citrix Provisioning", Source::Published),
    tool("omnissa-ic-nga", "Omnissa Horizon", Source::Published),
    // UltraDefrag, its source code.
    tool("defrag_native", "UltraDefrag", Source::Published),
    tool("aswboot", "Avast", Source::Reported),
    tool("avgchsvx", "AVG", Source::Reported),
    tool("avgchsva", "AVG", Source::Reported),
    tool("avgrsx", "AVG", Source::Reported),
    tool("avgrsa", "AVG", Source::Reported),
    tool("bddel", "Bitdefender", Source::Reported),
    tool("sdnclean", "Spybot Search & Destroy", Source::Reported),
    tool("sdnclean64", "Spybot Search & Destroy", Source::Reported),
    tool("smartdefragboottime", "IObit Smart Defrag", Source::Reported),
    tool("pgdfgsvc", "Sysinternals PageDefrag", Source::Reported),
    tool("oodbs", "O&O Defrag", Source::Reported),
    tool("pdboot", "Raxco PerfectDisk", Source::Reported),
    tool("autonat", "Puran Defrag", Source::Reported),
    tool("sprestrt", "Windows XP setup recovery", Source::Reported),
    tool("stera", "F-Secure", Source::Reported),
    tool("lsdelete", "Lavasoft Ad-Aware", Source::NameOnly),
    tool("sh4native", "SpyHunter", Source::NameOnly),
];
