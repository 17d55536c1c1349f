//! What is left of processes in memory that was given back, and what only looks like one.

use crate::machine::Machine;
use crate::physical::PAGE;
use crate::scenario::{PoolForm, Proc, Relic, Remains, Scenario};
use crate::section::Files;
use crate::truth::TruthRelic;
use std::collections::BTreeMap;

const KIND: &str = "_EPROCESS";
/// Bytes of `_OBJECT_HEADER` before the body.
const HEADER: u64 = 0x30;
/// The type index that a freed object has: the first entry of `ObTypeIndexTable` that is no type.
const FREED: u8 = 1;

impl Machine {
    /// Forges the scenario's relics. They are in no list.
    pub fn forge_relics(&mut self, plan: &Scenario) -> Vec<TruthRelic> {
        plan.relics.iter().map(|relic| self.forge_relic(relic)).collect()
    }

    fn forge_relic(&mut self, relic: &Relic) -> TruthRelic {
        self.plan.pool_forms.insert(relic.process.pid, relic.form);
        let made = self.forge_process(&relic.process, &mut Files::default(), &BTreeMap::new());
        self.plan.pool_forms.remove(&relic.process.pid);
        let body = made.body;
        let link = body + self.offset(KIND, "ActiveProcessLinks");
        self.link(&[link]);
        let size = self.layout.size(KIND);
        match relic.remains {
            Remains::Whole => {}
            Remains::Freed => self.mark_freed(body),
            Remains::FreeBlock => {
                let block = body - self.before_object("Process", None, relic.form) - 16;
                self.put(block, "_POOL_HEADER", "PoolType", 0);
            }
            Remains::Unmapped => {
                assert!(matches!(relic.form, PoolForm::Big | PoolForm::Segment { .. }), "others share its pages");
                self.mark_freed(body);
                for page in body / PAGE..=(body + size - 1) / PAGE {
                    self.kernel.set_entry(&mut self.memory, page * PAGE, 0);
                }
            }
            Remains::HalfOverwritten => {
                self.mark_freed(body);
                // Behind the ids, before the name.
                let from = self.offset(KIND, "ImageFileName") & !0xf;
                self.write_noise(body + from, size - from);
            }
            Remains::OtherContent => self.write_noise(body, size),
            Remains::Copy => {
                let frame = self.memory.take();
                let (from, at) = (self.kernel.frame_of(body).expect("pool is mapped"), body);
                *self.memory.frame(frame) = *self.memory.frame(from);
                debug_assert!(at % PAGE != 0);
            }
        }
        TruthRelic { process: made.truth, remains: relic.remains }
    }

    /// The type in front of an object becomes that of freed ones.
    pub fn mark_freed(&mut self, body: u64) {
        let header = body - HEADER;
        let index = self.encode_index(header, FREED);
        self.put(header, "_OBJECT_HEADER", "TypeIndex", u64::from(index));
    }

    fn write_noise(&mut self, at: u64, len: u64) {
        let bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.rng.next_u64().to_le_bytes()).collect();
        self.write(at, &bytes[..len as usize]);
    }
}

impl Scenario {
    /// The same with what is left of `count` processes that are over, in every form, and with decoys among them.
    ///
    /// # Panics
    /// When the machine has no process to take after.
    #[must_use]
    pub fn with_relics(mut self, count: u64) -> Self {
        let model = self.processes.iter().find(|p| p.pid == 804).expect("a service host").clone();
        for n in 0..count {
            let (form, remains) = match n % 8 {
                0 => (PoolForm::Block, Remains::Freed),
                1 => (PoolForm::Segment { at: n * 16 % PAGE }, Remains::Unmapped),
                2 => (PoolForm::Block, Remains::OtherContent),
                3 => (PoolForm::Headers((n / 8 % 32) as u8), Remains::Freed),
                4 => (PoolForm::Block, Remains::HalfOverwritten),
                5 => (PoolForm::Big, Remains::Freed),
                6 => (PoolForm::Tag(*b"Decy"), Remains::OtherContent),
                _ => (PoolForm::Segment { at: 0xc00 }, Remains::Freed),
            };
            self.relics.push(Relic { process: ended(&model, 0x10000 + n * 4), form, remains });
        }
        self
    }
}

/// A process like `model` that is over.
#[must_use]
pub fn ended(model: &Proc, pid: u64) -> Proc {
    let mut process = model.clone();
    process.pid = pid;
    process.exited = Some(model.created.plus_ms(60_000));
    (process.session, process.linked, process.in_cid_table) = (None, false, false);
    process.shares_token_of = Some(model.pid);
    process.opens = Vec::new();
    process.job = None;
    process
}
