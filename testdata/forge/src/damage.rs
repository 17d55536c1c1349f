//! What is wrong with a machine's memory after all was well laid out.

use crate::machine::Machine;
use crate::physical::PAGE;
use crate::process::Made;
use crate::scenario::{Damage, Scenario};

impl Machine {
    /// Applies the scenario's damage.
    pub fn forge_damage(&mut self, plan: &Scenario, made: &[Made]) {
        let link = self.offset("_EPROCESS", "ActiveProcessLinks");
        let body = |pid: u64| {
            let found = plan.processes.iter().position(|p| p.pid == pid);
            made[found.unwrap_or_else(|| panic!("no process {pid} to damage"))].body
        };
        for damage in &plan.damage {
            match *damage {
                Damage::TornFlink { pid, to } => self.write_u64(body(pid) + link, to),
                Damage::TornBlink { pid, to } => self.write_u64(body(pid) + link + 8, to),
                Damage::ListCycle { from, to } => {
                    let (from, to) = (body(from) + link, body(to) + link);
                    self.write_u64(from, to);
                    self.write_u64(to + 8, from);
                }
                Damage::ListHead { flink, blink } => {
                    let head = self.global("PsActiveProcessHead");
                    self.write_u64(head, flink);
                    self.write_u64(head + 8, blink);
                }
                Damage::EprocessPage { pid, state } => self.page_out_kernel(body(pid), state),
                Damage::EprocessHole { pid } => {
                    let frame = self.kernel.frame_of(body(pid)).expect("pool is mapped");
                    self.memory.remove(frame);
                }
                Damage::TokenPage { pid, state } => {
                    let token = made.iter().find(|m| m.truth.pid == pid).expect("a process").truth.token;
                    self.page_out_kernel(token, state);
                }
                Damage::PhysicalHole { from, to } => {
                    for frame in from / PAGE..to / PAGE {
                        self.memory.remove(frame);
                    }
                }
                Damage::Field { pid, path, value } => self.put(body(pid), "_EPROCESS", path, value),
            }
        }
    }
}
