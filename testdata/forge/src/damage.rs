//! What is wrong with a machine's memory after all was well laid out.

use crate::machine::Machine;
use crate::physical::PAGE;
use crate::process::Made;
use crate::scenario::{Damage, Scenario};
use crate::variants::UNMAPPED;

impl Machine {
    /// Applies the scenario's damage.
    pub fn forge_damage(&mut self, plan: &Scenario, made: &[Made]) {
        let link = self.offset("_EPROCESS", "ActiveProcessLinks");
        let of = |pid: u64| {
            let found = plan.processes.iter().position(|p| p.pid == pid);
            &made[found.unwrap_or_else(|| panic!("no process {pid} to damage"))]
        };
        let body = |pid: u64| of(pid).body;
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
                Damage::ThreadField { pid, path, value } => {
                    for thread in &of(pid).threads {
                        self.put(*thread, "_ETHREAD", path, value);
                    }
                }
                Damage::ThreadOwner { pid, path, owner } => {
                    for thread in &of(pid).threads {
                        self.put(*thread, "_ETHREAD", path, body(owner));
                    }
                }
                Damage::HeadersFreed { pid } => {
                    for object in of(pid).threads.iter().chain([&body(pid)]) {
                        self.mark_freed(*object);
                    }
                }
                Damage::Renamed { pid, name, path } => {
                    let mut bytes = name.as_bytes().to_vec();
                    bytes.resize(15, 0);
                    self.write(body(pid) + self.offset("_EPROCESS", "ImageFileName"), &bytes[..15]);
                    match path {
                        Some(path) => self.forge_audit_name(body(pid), Some(path)),
                        None => {
                            self.put(body(pid), "_EPROCESS", "SeAuditProcessCreationInfo.ImageFileName", UNMAPPED);
                        }
                    }
                }
                Damage::EmptyJob { pid } => {
                    let size = self.layout.size("_EJOB");
                    let job = self.pool(false, b"Pool", size);
                    self.write(job, &vec![0; size as usize]);
                    self.put(job, "_EJOB", "ServerSiloGlobals", body(4));
                    self.put(body(pid), "_EPROCESS", "Job", job);
                }
                Damage::Field { pid, path, value } => self.put(body(pid), "_EPROCESS", path, value),
            }
        }
    }
}
