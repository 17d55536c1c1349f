//! Which processes a list is to show.

use crate::Process;
use crate::report::Users;

/// Processes by pid, name, user and session. What is asked for in several ways must fit in each of them; an empty list asks for
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFilter {
    /// Any of these pids.
    pub pids: Vec<u64>,
    /// Any of these in the image name, the kernel's path or the command line; upper and lower case are one.
    pub names: Vec<String>,
    /// Any of these as SID, or in the user's name.
    pub users: Vec<String>,
    /// Any of these session ids.
    pub sessions: Vec<u32>,
    /// Those that are in no session.
    pub in_none: bool,
}

impl ProcessFilter {
    /// True where nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the process is asked for. What is not known of it does not fit.
    #[must_use]
    pub fn takes(&self, process: &Process, users: &Users) -> bool {
        let texts = [process.name.value(), process.path.value(), process.command_line.value()];
        let named = |name: &String| texts.iter().flatten().any(|text| contains(text, name));
        let user = users.of(process);
        let by_user = |wanted: &String| {
            process.user.value().is_some_and(|sid| sid.eq_ignore_ascii_case(wanted))
                || user.value().is_some_and(|name| contains(name, wanted))
        };
        (self.pids.is_empty() || process.pid.value().is_some_and(|pid| self.pids.contains(pid)))
            && (self.names.is_empty() || self.names.iter().any(named))
            && (self.users.is_empty() || self.users.iter().any(by_user))
            && (self.sessions.is_empty() && !self.in_none
                || process.session.value().is_some_and(|id| self.sessions.contains(id))
                || self.in_none && process.session.is_nothing())
    }
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}
