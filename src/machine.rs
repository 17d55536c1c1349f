//! Facts about the machine as a whole.

use crate::kernel::{KUSER_SHARED_DATA, Kernel, Singletons};
use crate::reading::record;
use crate::registry::{Identity, Profile, Registry};
use crate::{Absent, ProcessList, Reading, Timestamp};
use serde::{Deserialize, Serialize};

record! {
    /// Facts about the machine as a whole.
    pub struct Machine {
        /// `KUSER_SHARED_DATA.NtSystemRoot`: `C:\Windows`. Where that page is gone: `SystemRoot` of
        /// `SOFTWARE\Microsoft\Windows NT\CurrentVersion`.
        root: String,
        /// When the system started: `KUSER_SHARED_DATA.SystemTime - InterruptTime`.
        boot: Timestamp,
        /// When the image was taken: `KUSER_SHARED_DATA.SystemTime`.
        captured: Timestamp,
        /// Every clock that tells when the system started.
        clocks: Vec<Clock>,
        /// `KUSER_SHARED_DATA.ActiveProcessorCount`.
        processors: u32,
        /// `KUSER_SHARED_DATA.NtProductType`: `workstation`, `domain_controller`, `server`.
        product: String,
        /// `KUSER_SHARED_DATA.SafeBootMode`.
        safe_mode: bool,
        /// Seconds that the system slept or hibernated since it started: `KUSER_SHARED_DATA.InterruptTimeBias`. Nothing: this
        /// build does not count them.
        asleep: u64,
        /// The computer's NetBIOS name: `Control\ComputerName\ActiveComputerName` of the registry.
        host: String,
        /// Its DNS domain: `Services\Tcpip\Parameters`, `Domain`. Nothing: it is in none.
        domain: String,
        /// The name of its time zone: `Control\TimeZoneInformation`, `TimeZoneKeyName`.
        time_zone: String,
        /// Minutes from its local time to UTC when the image was taken: `Control\TimeZoneInformation`, `ActiveTimeBias`.
        time_bias: i32,
        /// Where the kernel's variables lead that have one object each.
        singletons: Singletons,
        /// Who has a profile: the subkeys of `ProfileList`.
        profiles: Vec<Profile>,
    }
}

/// One clock's answer to when the system started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Clock {
    /// Structure and field: `KUSER_SHARED_DATA.SystemTime - InterruptTime`, `KeBootTime`, `System.CreateTime`.
    pub source: String,
    /// The time it gives.
    pub time: Timestamp,
}

impl Machine {
    /// Reads what `KUSER_SHARED_DATA` says, and every clock.
    pub(crate) fn read(kernel: &Kernel<'_>, processes: &ProcessList) -> Self {
        let header = kernel.image().hints();
        let shared = || {
            kernel.shared_data().ok_or_else(|| Absent::unreadable(format!("KUSER_SHARED_DATA at {KUSER_SHARED_DATA}")))
        };
        let boot_by_header = header.and_then(|header| header.boot);
        // There always is such a time.
        let unclear = || Absent::unparsable("KUSER_SHARED_DATA: InterruptTime is later than SystemTime");
        let boot = shared().and_then(|shared| shared.boot().ok_or_else(unclear));
        let boot = boot.or_else(|absent| boot_by_header.ok_or(absent));
        let captured = shared().map(|shared| Some(shared.system_time).filter(|time| time.0 != 0));
        Self {
            root: shared().map(|shared| shared.root.clone()).into(),
            boot: boot.into(),
            captured: Reading::from(captured)
                .or(header.and_then(|header| header.system_time).map_or(Reading::Nothing, Reading::Value)),
            clocks: Reading::Value(clocks(kernel, processes)),
            processors: shared().map(|shared| Some(shared.processors).filter(|number| *number != 0)).into(),
            product: shared().map(|shared| shared.product().map(str::to_owned)).into(),
            safe_mode: shared().map(|shared| shared.safe_boot != 0).into(),
            asleep: shared().and_then(asleep).into(),
            singletons: Reading::Value(Singletons::read(kernel)),
            ..Self::default()
        }
    }

    /// Adds what the registry says of the machine.
    pub(crate) fn identify(&mut self, registry: &Registry<'_>) {
        let Identity { host, domain, time_zone, bias, profiles, root } = Identity::read(registry);
        if self.root.value().is_none() && root.value().is_some() {
            self.root = root;
        }
        (self.host, self.domain, self.time_zone) = (host, domain, time_zone);
        (self.time_bias, self.profiles) = (bias, profiles);
    }
}

/// Seconds of sleep, which cannot be more than the time since the start.
fn asleep(shared: &crate::kernel::SharedData) -> Result<Option<u64>, Absent> {
    match shared.interrupt_time_bias {
        Some(bias) if bias > shared.interrupt_time => {
            Err(Absent::unparsable("InterruptTimeBias is more than InterruptTime"))
        }
        bias => Ok(bias.map(|bias| bias / 10_000_000)),
    }
}

/// What each clock says of when the system started.
fn clocks(kernel: &Kernel<'_>, processes: &ProcessList) -> Vec<Clock> {
    let shared = kernel.shared_data().and_then(crate::kernel::SharedData::boot);
    let global = kernel.global("KeBootTime").ok().and_then(|at| kernel.space().read_u64(at).ok());
    let system = processes.items.iter().find(|process| process.pid.value() == Some(&4));
    let header = kernel.image().hints().and_then(|header| header.boot);
    [
        ("KUSER_SHARED_DATA.SystemTime - InterruptTime", shared),
        ("KeBootTime", global.filter(|ticks| *ticks != 0).and_then(Timestamp::plausible)),
        ("System.CreateTime", system.and_then(|system| system.created.value().copied())),
        ("crash dump header SystemTime - SystemUpTime", header),
    ]
    .into_iter()
    .filter_map(|(source, time)| Some(Clock { source: source.to_owned(), time: time? }))
    .collect()
}
