//! smss.exe, the Session Manager: the first process of user mode, and what it builds.

use super::{Children, CoreProcess, Count, InSession, LOCAL_SYSTEM, StartedBy};
use crate::checks::Baseline;
use crate::checks::rules::{
    build, children, code, command_line, core_images, core_processes, file, handles, hardening, instances, look_alike,
    memory, modules, name, parent, path, roots, session, singletons, stale_child, stamps, start, systems, token, user,
    views,
};
use crate::checks::session_manager as keys;
use crate::checks::sessions;
use std::borrow::Cow;

/// What is normal for it.
pub static SMSS: CoreProcess = CoreProcess {
    name: "smss.exe",
    path: "\\System32\\smss.exe",
    parent: StartedBy::System,
    count: Count::One,
    user: LOCAL_SYSTEM,
    session: InSession::None,
    // The PEB says the same of the image, on every version.
    command_line: Some("\\SystemRoot\\System32\\smss.exe"),
    start: Some([-2, 10, 60, 600]),
    // 8.1: signer WinTcb, type protected light.
    protection: &[(9600, 0x61)],
    dynamic_code_disabled: Some(10240),
    critical: true,
    // It sets it itself.
    base_priority: Some(11),
    // 2 to 4 were seen.
    most_threads: Some(16),
    modules: Some(&["\\System32\\smss.exe", "\\System32\\ntdll.dll"]),
    // Windows 7.
    modules_of_builds: &[(7600..=7601, "\\System32\\apisetschema.dll")],
    children: Children {
        usual: &["smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "autochk.exe"],
        // Conversion of a volume, servicing, setup, firmware's own program, crash reports.
        at_times: &["autoconv.exe", "autofmt.exe", "setupcl.exe", "poqexec.exe", "wpbbin.exe", "WerFault.exe"],
        // Not all of it lives in System32.
        of_vendors: &["PvsVmBoot.exe", "SophosNA.exe", "omnissa-ic-nga.exe", "icarus_rvrt.exe"],
        // The POSIX subsystem; 8 and Server 2012 had it last.
        until: &[("psxss.exe", 9200)],
    },
};

/// smss.exe, the registry it reads, the sessions it builds.
pub static BASELINE: Baseline = Baseline {
    name: "smss",
    title: "smss.exe, what it reads and what it builds",
    process: &SMSS,
    look_into: &["System", "smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe"],
    rules: Cow::Borrowed(&[
        &systems::KERNEL_HALF,
        &systems::PAGE_TABLES,
        &systems::RAN_LAST,
        &start::TWO_STAMPS,
        &roots::OWNED,
        &build::ONE_BUILD,
        &stamps::CORE_STAMPS,
        &core_processes::CODE,
        &core_processes::WATCHED,
        &core_processes::NAMES,
        &core_images::IMAGES,
        &singletons::ONE_OF_EACH,
        &token::CORE_TOKENS,
        &instances::MASTER_PRESENT,
        &parent::PARENT,
        &path::KERNEL_PATH,
        &path::PEB_PATH,
        &file::IMAGE_FILE,
        &command_line::COMMAND_LINE,
        &instances::ONE_MASTER,
        &stale_child::STALE_CHILD,
        &user::USER,
        &token::SHAPE,
        &token::SHARED,
        &session::SESSION,
        &start::START,
        &hardening::PROTECTION,
        &hardening::NATIVE,
        &hardening::CRITICAL,
        &modules::MODULES,
        &memory::IMAGE_BASE,
        &code::CODE,
        &children::CHILDREN,
        &look_alike::LOOK_ALIKE,
        &views::EVERY_VIEW,
        &handles::HOLDERS,
        &hardening::WINDOWS,
        &name::IMAGE_NAME,
        &instances::NOT_EXITED,
        &hardening::PRIORITY,
        &hardening::DYNAMIC_CODE,
        &handles::CSRSS,
        &stamps::STAMPS,
        &keys::control_set::RESOLVED,
        &keys::sub_systems::REQUIRED,
        &keys::sub_systems::KNOWN_VALUES,
        &keys::windows_value::PROGRAM,
        &keys::windows_value::SERVER_DLLS,
        &keys::running::AGAINST_CSRSS,
        &keys::sub_systems::OPTIONAL,
        &keys::sub_systems::KERNEL_MODE,
        &keys::sub_systems::DEBUG,
        &keys::boot_execute::BOOT_EXECUTE,
        &keys::boot_execute::OTHER_LISTS,
        &keys::initial_command::INITIAL_COMMANDS,
        &keys::pending_renames::PENDING,
        &keys::known_dlls::KNOWN_DLLS,
        &keys::certificates::APP_CERT_DLLS,
        &keys::environment::ENVIRONMENT,
        &keys::namespace::NAMES,
        &keys::modes::MODES,
        &sessions::ONE_CSRSS,
        &sessions::ONE_CREATOR,
        &sessions::creator::GONE,
        &sessions::WININIT,
        &sessions::winlogon::WINLOGON,
        &sessions::members::CSRSS_IMAGES,
        &sessions::members::TOKEN_SESSIONS,
        &sessions::CLASSIFIED,
    ]),
};
